"""Claims: bad input from the command line is one clear line, exit status 1, and costs nothing that was there.

Real commands, most in processes of their own, on a run that is sound in everything but what each test spoils.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from robostack import cli, registry
from robostack.export.firmware import export_firmware
from robostack.export.onnx import load_policy, parse_policy, seal
from robostack.run_folder import RunFolder
from robostack_real.link.client import BoardLink
from robostack_real.link.errors import PortAbsent, PortBusy
from robostack_real.twins.board import SerialBoard
from robostack_real.twins.build import build_firmware

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def run(quadrotor_run):
    return RunFolder.open(quadrotor_run)


def start(*args, **options):
    command = [sys.executable, "-m", "robostack", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def complaint(process, status=1):
    """What the command says is wrong: its one line, and nothing that only its author would understand."""
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    return clear(err)


def clear(err):
    assert "Traceback" not in err
    assert "unexpected" not in err
    lines = [line for line in err.splitlines() if line.startswith("robostack:")]
    assert len(lines) == 1, err
    return lines[0]


def complaint_here(capsys, *args):
    """The same from this process, which has loaded torch already."""
    assert cli.main([*map(str, args)]) == 1
    return clear(capsys.readouterr().err)


def contents(folder):
    """Every file of a run but its lock and what was compiled."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock" and "build-" not in str(p)]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def truncated(data):
    return data[: len(data) // 2]


def foreign(_):
    """A sound ONNX file by somebody else."""
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3]) for n in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(
        graph, producer_name="somebody", opset_imports=opset, ir_version=8
    ).SerializeToString()


def of_another_version(data):
    model = onnx.load_model_from_string(data)
    for entry in model.metadata_props:
        if entry.key == "robostack.spec":
            entry.value = json.dumps({**json.loads(entry.value), "spec_version": 99})
    return model.SerializeToString()


def altered(data):
    """One weight is another: the hash no longer fits."""
    model = onnx.load_model_from_string(data)
    _change_a_weight(model)
    return model.SerializeToString()


def _change_a_weight(model):
    largest = max(model.graph.initializer, key=lambda w: numpy_helper.to_array(w).size)
    values = numpy_helper.to_array(largest).copy()
    values.ravel()[0] += np.float32(0.5)
    largest.CopyFrom(numpy_helper.from_array(values, largest.name))


SPOILED = [
    (truncated, "truncated"),
    (foreign, "by somebody without a contract .*Export it with robostack"),
    (of_another_version, "spec_version: .*99.*this robostack reads version 1: export"),
    (altered, "altered after export"),
]


@pytest.mark.parametrize("verb", ["explain", "verify", "fly"])
def test_a_policy_that_is_none_of_ours_or_no_longer_is_refused_by_its_name(run, verb):
    sound = run.policy.read_bytes()
    for spoil, said in SPOILED:
        run.policy.write_bytes(spoil(sound))
        before = contents(run.path)
        line = complaint(start(verb, run.path))
        assert str(run.policy) in line
        assert re.search(said, line)
        assert contents(run.path) == before


@pytest.fixture
def other_firmware(run, need_tool):
    """exported/firmware is of another policy: the same contract, another weight."""
    need_tool("cc")
    policy = load_policy(run.policy)
    model = onnx.load_model_from_string(policy.data)
    _change_a_weight(model)
    export_firmware(parse_policy(seal(model, policy.spec), "other.onnx"), run.exported / "firmware")
    return policy


def test_a_board_with_another_policy_does_not_fly(run, other_firmware):
    before = contents(run.path)
    line = complaint(start("fly", run.path, "--board", "host"))
    assert f"policy_hash: the policy has {other_firmware.policy_hash[:12]}, board host" in line
    assert "flash lockstep host with firmware generated from it" in line
    assert contents(run.path) == before


def test_verifying_with_firmware_of_another_policy_fails(run, other_firmware):
    process = start("verify", run.path, "--json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (1, False)
    image = next(p for p in json.loads(out) if p["port"] == "flight image, host")
    assert image["status"] == "failed"
    assert f"policy_hash: the policy has {other_firmware.policy_hash[:12]}" in image["note"]


def test_a_board_that_is_not_there_is_named_with_those_that_are(run):
    line = complaint(start("fly", run.path, "--board", "hots"))
    assert "no board is called 'hots'. Did you mean 'host'?" in line


def test_a_board_pulled_in_flight_ends_the_flight_with_what_to_check(run, need_tool):
    need_tool("cc")
    process = start("fly", run.path, "--board", "host", "--transport", "serial")
    children, guard = Path(f"/proc/{process.pid}/task/{process.pid}/children"), time.monotonic() + 60
    while not (twins := [c for c in children.read_text().split() if comm(c) == "firmware.elf\n"]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < guard
        time.sleep(0.01)
    os.kill(int(twins[0]), signal.SIGKILL)
    assert "check the cable" in complaint(process)


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def test_a_port_that_is_absent_or_that_another_process_has_is_told_apart(run, need_tool):
    need_tool("cc")
    with pytest.raises(PortAbsent, match=r"/dev/ttyNOSUCH0: there is no such port .* plug the board in"):
        BoardLink("/dev/ttyNOSUCH0")
    firmware = run.exported / "firmware"
    elf = build_firmware(firmware, firmware / "generated", firmware / "build", board="host", transport="usart")
    hold = (
        "import sys; from robostack_real.link.client import BoardLink\n"
        "with BoardLink(sys.argv[1]): print('held'), sys.stdin.read()"
    )
    with SerialBoard(elf, "host") as board:
        command = [sys.executable, "-u", "-c", hold, board.port]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            with pytest.raises(PortBusy, match=f"{board.port}: another process has it"):
                BoardLink(board.port)
            other.kill()
        with board.connect() as link:  # the killed process blocks nobody
            assert link.identify().board == "host"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mass = { value = 0.027", "mass = { value = -0.027", ["mass", "-0.027"]),
        ("mass = { value = 0.027", "mass = { value = nan", ["mass", "nan"]),
        ("mass = {", "mess = {", ["missing", "mass"]),
        ("mass = {", "mass = ", []),
    ],
    ids=["negative", "not a number", "unknown field", "not TOML"],
)
def test_a_vehicle_that_cannot_be_is_refused_by_file_field_and_value(tmp_path, capsys, monkeypatch, old, new, said):
    sound = (ROOT / "sim/robostack_sim/quadrotor/parameters/crazyflie_2_1.toml").read_text()
    assert old in sound
    (tmp_path / "bad.toml").write_text(sound.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    line = complaint_here(capsys, "train", "quadrotor", "--vehicle", "bad.toml", "--root", "logs")
    assert all(word in line for word in ["bad.toml", *said])
    assert not (tmp_path / "logs").exists()


def test_a_second_run_in_the_same_folder_is_refused_with_what_to_do(run):
    before = contents(run.path)
    line = complaint(start("train", "quadrotor", "--quick", "--run-folder", run.path))
    assert "this folder holds a run already; go on with --resume, or give another folder" in line
    assert contents(run.path) == before


@pytest.mark.parametrize("verb", ["export", "verify", "fly", "report"])
def test_a_run_that_another_command_is_writing_is_left_alone(run, verb, capsys):
    before = contents(run.path)
    code = (
        "import sys; from robostack.run_folder import RunFolder\n"
        "with RunFolder.open(sys.argv[1]).locked(): print('held'), sys.stdin.read()"
    )
    command = [sys.executable, "-u", "-c", code, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        line = complaint_here(capsys, verb, run.path)
        assert f"in use by process {other.pid}" in line
        other.kill()
    assert contents(run.path) == before


def full_disk(after_bytes):
    """For Popen: no file may grow beyond this."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, after_bytes))


@pytest.mark.parametrize("file", ["policy.onnx", "policy.c"])
def test_no_room_for_an_export_keeps_the_one_before(run, file):
    sizes = {p.name: p.stat().st_size for p in run.exported.rglob("policy.*")}
    room = sizes["policy.onnx"] // 2 if file == "policy.onnx" else (sizes["policy.onnx"] + sizes["policy.c"]) // 2
    before = contents(run.path)
    line = complaint(start("export", run.path, preexec_fn=full_disk(room)))
    assert "no room for" in line
    assert file in line
    after = contents(run.path)
    if file == "policy.c":  # the policy itself had room, and is the same but for the commit it was exported from
        old, new = (parse_policy(files.pop("exported/policy.onnx"), file) for files in (before, after))
        assert old.policy_hash == new.policy_hash
    assert after == before


def test_no_room_for_a_flight_keeps_those_before(run, need_tool):
    need_tool("cc")
    (run.flights / "recover_00.npz").write_bytes(b"an earlier flight")
    (run.flights / "an_older_one.npz").write_bytes(b"an earlier flight")
    before = contents(run.path)
    registry.load("board", "host").lockstep(run.exported / "firmware")  # built while there is room
    options = {"preexec_fn": full_disk(4000)}  # 500 periods take more
    line = complaint(start("fly", run.path, "--board", "host", "--transport", "lockstep", **options))
    assert "no room for" in line
    assert "recover_00.npz" in line
    assert contents(run.path) == before
