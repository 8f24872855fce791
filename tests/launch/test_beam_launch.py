"""Claims: the beam's launch file starts the nodes that `robostack up beam` starts, acts on a machine only when told,
and refuses what makes no sense."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from workspace import unknown_parameters

from robostack import cli
from robostack.spec import ContractError
from robostack_real.stacks.beam import beam
from robostack_real.stacks.launching import arguments
from robostack_real.stacks.stack import Request


@pytest.fixture
def policy(quadrotor_run: Path) -> Path:
    """What is in it the nodes say."""
    return quadrotor_run / "exported/policy.onnx"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")
    path = tmp_path / "machine.toml"
    path.write_text(text.replace("[target_m]", "[target_m]\nbpm_1_x = 0.0005\nbpm_2_y = -1e-3"))
    return path


@pytest.fixture
def start(describe):
    return describe("beam").execute


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"lockstep": "true", "fifo": "50", "view_port": "0"}, {"lockstep": True, "fifo": 50, "view_port": 0}),
        ({"config": "ITS"}, {"config": "ITS"}),
        ({"target": "epics", "config": "ITS"}, {"target": "epics", "config": "ITS"}),
        ({"target": "epics", "config": "ITS", "live": "true"}, {"target": "epics", "config": "ITS", "live": True}),
    ],
)
def test_it_starts_the_nodes_that_up_starts_with_parameters_that_they_have(start, policy, config, nodes, given, asked):
    given, asked = ({k: str(config) if v == "ITS" else v for k, v in w.items()} for w in (given, asked))
    described = beam.describe(Request(policy, **asked))
    started = start(policy=str(policy), **given)
    assert [n.executable for n in started] == [d.executable for d in described]
    assert [n.parameters for n in started] == [[dict(d.parameters)] for d in described]
    assert [n.arguments for n in started] == [["--fifo", "50"] if d.fifo else [] for d in described]
    assert unknown_parameters(started, nodes) == []


@pytest.mark.parametrize(("live", "uri"), [("false", "epics://{}"), ("true", "epics://{}?live")])
def test_it_acts_on_a_machine_and_starts_by_itself_only_when_told_so(start, policy, config, live, uri):
    started = start(policy=str(policy), target="epics", config=str(config), live=live)
    given = {n.executable: n.parameters[0] for n in started}
    assert given["device_node"]["device"] == uri.format(config)
    assert given["supervisor_node"]["autostart"] is (live == "true")
    assert given["policy_node"]["changes"] is True


def test_the_golden_orbit_is_the_machine_files(start, policy, config):
    given = {n.executable: n.parameters[0] for n in start(policy=str(policy), config=str(config))}
    assert given["setpoint_node"]["constant"] == "bpm_1_x=0.0005,bpm_2_y=-0.001"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": "board"}, "'board' is not valid: ['sim', 'epics']"),
        ({"target": "epics"}, "config: a machine over EPICS needs its file"),
        ({"live": "true"}, "live: a simulated machine is no live one"),
        ({"target": "epics", "config": "ITS", "lockstep": "true"}, "lockstep: a machine over EPICS keeps its own time"),
        ({"config": "/nowhere/machine.toml"}, "/nowhere/machine.toml"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(start, policy, config, given, said):
    given = {k: str(config) if v == "ITS" else v for k, v in given.items()}
    with pytest.raises((ContractError, RuntimeError, FileNotFoundError)) as error:
        start(policy=str(policy), **given)
    assert said in str(error.value)


def test_words_of_another_stack_are_no_arguments_here_and_up_refuses_them(policy, capsys):
    assert {"trajectory", "uri", "dead_man", "policy_on"} & arguments(beam).keys() == set()
    assert cli.main(["up", "beam", "--policy", str(policy), "--trajectory", "figure_eight"]) == 1
    assert "trajectory = figure_eight: stack beam takes none" in capsys.readouterr().err
