"""Claim: every verb and option that the page of a first flight tells somebody to type is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robostack import cli

PAGE = Path(__file__).parents[1] / "docs/first_flight.md"


def commands(text: str) -> list[tuple[str, set[str]]]:
    """Verb and options of each command in a block of shell."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split(" #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [re.match(r"robostack ([a-z]+)(.*)", line) for line in lines]
    return [(m[1], set(re.findall(r"(?<= )--[a-z-]+", m[2]))) for m in found if m]


def test_the_commands_of_the_page_exist(capsys: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, set[str]] = {}
    for verb, options in commands(PAGE.read_text()):
        asked.setdefault(verb, set()).update(options)
    assert {"verify", "fly", "identify", "doctor", "record", "replay"} <= asked.keys()
    for verb, options in asked.items():
        assert cli.main([verb, "--help"]) == 0, verb
        shown = capsys.readouterr().out
        assert {o for o in options if o not in shown} == set(), verb
