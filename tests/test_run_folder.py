"""Claims about run folders: nothing half-written is seen, nothing is lost, and two writers never meet."""

import json
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from robostack.run_folder import RunFolder, RunFolderError, to_json


def test_latest_is_the_newest_run_of_the_task(tmp_path):
    RunFolder.create("quadrotor", "first", tmp_path)
    second = RunFolder.create("quadrotor", "second", tmp_path)
    assert RunFolder.latest("quadrotor", tmp_path).path == second.path.resolve()


def test_runs_started_in_one_second_get_folders_of_their_own(tmp_path):
    assert len({RunFolder.create("quadrotor", root=tmp_path).path for _ in range(5)}) == 5


@pytest.mark.parametrize("name", ["../escape", "a/b", "", " ", "-rf"])
def test_a_name_that_is_no_plain_word_is_refused(tmp_path, name):
    with pytest.raises(RunFolderError, match="letters, digits"):
        RunFolder.create(name or " ", root=tmp_path)


def test_a_second_writer_is_refused_and_told_who_has_the_folder(tmp_path):
    run = RunFolder.create("quadrotor", root=tmp_path)
    code = (
        "import sys; from robostack.run_folder import RunFolder\n"
        "with RunFolder.open(sys.argv[1]).locked(): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"in use by process {holder.pid}"), run.locked():
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with run.locked():  # the lock of a killed process blocks nobody
        pass


def test_a_full_disk_keeps_the_old_file_and_leaves_no_litter(tmp_path):
    run = RunFolder.create("quadrotor", root=tmp_path)
    run.write("checkpoints/best.pt", b"good")
    code = (
        "import resource, signal, sys; from robostack.run_folder import RunFolder, RunFolderError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: RunFolder.open(sys.argv[1]).write('checkpoints/best.pt', b'x' * 100_000)\n"
        "except RunFolderError as error: print(error.strerror)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert "no room for" in done.stdout
    assert "untouched" in done.stdout
    assert (run.checkpoints / "best.pt").read_bytes() == b"good"
    assert [p.name for p in run.checkpoints.iterdir()] == ["best.pt"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_recording_a_stage_keeps_the_others(tmp_path):
    run = RunFolder.create("quadrotor", root=tmp_path)
    with run.stage("train"):
        run.record(train={"wall_s": np.float32(1.5), "loss": float("nan")})
    with run.stage("fly"):
        run.record(fly={"rows": []})
    found = run.metrics()
    assert found["train"] == {"wall_s": 1.5, "loss": None}
    assert found["stages"].keys() == {"train", "fly"}
    assert found["machine"]["python"]


def test_damaged_metrics_are_named_and_not_overwritten(tmp_path):
    run = RunFolder.create("quadrotor", root=tmp_path)
    (run.path / "metrics.json").write_text('{"train": ')
    with pytest.raises(RunFolderError, match=r"metrics\.json is not valid JSON"):
        run.record(fly={})
    assert (run.path / "metrics.json").read_text() == '{"train": '


def test_json_of_a_dataclass_is_plain():
    assert json.loads(to_json({"a": np.arange(2), "b": [1.0, float("inf")], "c": None})) == {
        "a": [0, 1],
        "b": [1.0, None],
        "c": None,
    }
