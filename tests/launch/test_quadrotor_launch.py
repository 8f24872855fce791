"""Claims: the launch file starts the nodes that `robostack up` starts, nothing it names is missing, and it refuses what
cannot fly before anything runs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from workspace import ROOT, unknown_parameters

from robostack import registry
from robostack.spec import ContractError
from robostack_real.nodes.main import ROLES
from robostack_real.stacks.processes import DEFAULTS
from robostack_real.stacks.quadrotor import quadrotor
from robostack_real.stacks.stack import Request


@pytest.fixture
def policy(quadrotor_run) -> Path:
    return quadrotor_run / "exported/policy.onnx"


@pytest.fixture
def start(describe):
    """The nodes that the launch file starts, given its arguments."""
    return describe("quadrotor").execute


def test_every_stack_has_a_launch_file():
    files = {p.name.removesuffix(".launch.py") for p in (ROOT / "launch").glob("*.launch.py")}
    assert files == registry.entries("stack").keys()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"trajectory": "figure_eight", "start": "false", "lockstep": "true", "fifo": "50", "view_port": "0"},
         {"trajectory": "figure_eight", "start": False, "lockstep": True, "fifo": 50, "view_port": 0}),
        ({"target": "board"}, {"target": "board"}),
        ({"target": "board", "policy_on": "host", "lockstep": "true"}, {"target": "board", "policy_on": "host"}),
        ({"target": "crazyflie", "uri": "radio://0/80/2M", "dead_man": "/dev/input/event5"},
         {"target": "crazyflie", "uri": "radio://0/80/2M", "dead_man": "/dev/input/event5"}),
    ],
)  # fmt: skip
def test_it_starts_the_nodes_that_up_starts(start, policy, given, asked):
    described = quadrotor.describe(Request(policy, **asked))
    started = start(policy=str(policy), **given)
    assert [n.executable for n in started] == [d.executable for d in described]
    assert [n.parameters for n in started] == [[dict(d.parameters)] for d in described]
    assert [n.arguments for n in started] == [["--fifo", "50"] if d.fifo else [] for d in described]
    assert all(n.on_exit for n in started)  # one that ends by itself ends all


@pytest.mark.parametrize("target", quadrotor.targets)
def test_every_executable_and_every_parameter_exists(start, policy, nodes, target):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {f"{role}_node" for role in ROLES} <= scripts.keys()
    for launched in start(policy=str(policy), target=target):
        role = launched.executable.removesuffix("_node")
        assert (launched.package, scripts[launched.executable]) == ("robostack", f"robostack_real.nodes.main:{role}")
    assert unknown_parameters(start(policy=str(policy), target=target), nodes) == []


def test_the_manual_lists_every_parameter_as_it_is(nodes):
    lines = (ROOT / "docs/ros2.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    written = {(role, *cells) for first, *cells in rows for role in first.split(", ") if role in ROLES}
    declared = set()
    for role, node in nodes.items():
        for name in node._parameters.keys() - {"use_sim_time", "start_type_description_service"}:
            about = node.describe_parameter(name)
            limits = "".join(f"{r.from_value:g} to {r.to_value:g}" for r in about.floating_point_range)
            declared.add((role, f"`{name}`", str(node.value(name)), limits, about.description))
    assert written == declared


def test_a_file_of_parameters_goes_before_the_stacks_own(start, policy, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("supervisor: {ros__parameters: {soft_start_s: 2.0}}\n")
    assert all(n.parameters[1:] == [str(file)] for n in start(policy=str(policy), params_file=str(file)))


def test_what_is_set_in_the_environment_stays(start, policy, monkeypatch):
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    assert start(policy=str(policy))[0].additional_env == DEFAULTS
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in start(policy=str(policy))[0].additional_env


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "missing required argument 'policy'"),
        ({"policy": "/nowhere/policy.onnx"}, "/nowhere/policy.onnx: No such file"),
        ({"policy": __file__}, "test_quadrotor_launch.py: "),
        ({"policy": "ok", "target": "moon"}, "'moon' is not valid: ['sim', 'board', 'crazyflie']"),
        ({"policy": "ok", "target": "crazyflie", "policy_on": "host"}, "flies the policy that it carries"),
        ({"policy": "ok", "fifo": "high"}, "fifo:=high: must be a whole number"),
        ({"policy": "ok", "params_file": "/nowhere/mine.yaml"}, "params_file:=/nowhere/mine.yaml: there is no such"),
    ],
)
def test_what_cannot_fly_is_refused_before_anything_runs(start, policy, given, said):
    if given.get("policy") == "ok":
        given = given | {"policy": str(policy)}
    with pytest.raises((ContractError, RuntimeError)) as error:
        start(**given)
    assert said in str(error.value)
