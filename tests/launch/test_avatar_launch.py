"""Claims: the avatar's launch file starts the nodes that `robostack up avatar` starts, with a policy or without."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import unknown_parameters

from robostack import cli
from robostack.spec import ContractError
from robostack_real.stacks.avatar import avatar
from robostack_real.stacks.stack import Request


@pytest.fixture
def start(describe):
    return describe("avatar").execute


@pytest.mark.parametrize(
    ("given", "policy", "asked"),
    [
        ({}, None, {}),
        ({"character": "mouse", "clip": "punch", "fifo": "50", "view_port": "0"}, None,
         {"character": "mouse", "clip": "punch", "fifo": 50, "view_port": 0}),
        ({"policy": "none"}, Path("none"), {}),
    ],
)  # fmt: skip
def test_it_starts_the_nodes_that_up_starts_with_parameters_that_they_have(start, nodes, given, policy, asked):
    described = avatar.describe(Request(policy, **asked))
    started = start(**given)
    assert [n.executable for n in started] == [d.executable for d in described]
    assert [n.parameters for n in started] == [[dict(d.parameters)] for d in described]
    assert [n.arguments for n in started] == [["--fifo", "50"] if d.fifo else [] for d in described]
    assert unknown_parameters(started, nodes) == []


def test_a_policy_that_is_named_has_to_be_one(start, capsys):
    with pytest.raises(ContractError, match=r"/nowhere/policy\.onnx: No such file"):
        start(policy="/nowhere/policy.onnx")
    assert cli.main(["up", "avatar", "--policy", "/nowhere/policy.onnx"]) == 1
    assert "/nowhere/policy.onnx: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-start"], "start: an avatar is not armed"),
        (["--trajectory", "figure_eight"], "trajectory = figure_eight: stack avatar takes none"),
        (["--target", "board"], "--target board: stack avatar has sim"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(words, said, capsys):
    assert cli.main(["up", "avatar", *words]) == 1
    assert said in capsys.readouterr().err
