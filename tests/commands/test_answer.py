"""Claims: with --json standard output is one JSON document and nothing else, whatever a verb says besides."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from robostack import cli, registry
from robostack.commands import VERBS
from robostack.commands.answer import answer
from robostack.commands.list import Command

WITHOUT = {"completion": "a script", "view": "a page, until Ctrl-C", "flash": "the words of other tools",
           "run": "a log in a folder", "twin": "runs until Ctrl-C", "up": "runs until Ctrl-C"}  # fmt: skip
"""Verbs that answer no script, and what they give instead."""


@pytest.mark.parametrize("verb", [*VERBS, *registry.entries("command")])
def test_every_verb_answers_a_script_or_is_known_not_to(verb):
    command = cli.command_of(verb)
    kinds = [command] if dataclasses.is_dataclass(command) else [part.__origin__ for part in command.__args__]
    assert all((verb in WITHOUT) != ("json" in {f.name for f in dataclasses.fields(kind)}) for kind in kinds)


def test_what_a_verb_says_besides_goes_to_standard_error(monkeypatch, capsys):
    def run(self):
        print("for people")
        answer({"runs": [1, 2]})
        print("more for people")
        return 0

    monkeypatch.setattr(Command, "run", run)
    assert cli.main(["list", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"runs": [1, 2]}
    assert err == "for people\nmore for people\n"
    assert cli.main(["list"]) == 0
    assert "for people" in capsys.readouterr().out


def test_a_failure_answers_nothing(capsys, tmp_path):
    assert cli.main(["explain", str(tmp_path / "absent.onnx"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "absent.onnx" in err
    assert sys.stdout is not sys.stderr  # given back


def test_numbers_that_json_has_not_are_null(capsys):
    answer({"a": float("nan"), "b": np.float32(np.inf), "c": np.arange(2), "d": np.float64(1.5)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": None, "c": [0, 1], "d": 1.5}
