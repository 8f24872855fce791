"""Claims: each controller corrects the same machine, which nobody described, live; and the run keeps its orbits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robostack import cli
from robostack.evaluate.flight import Flight
from robostack.run_folder import RunFolder


def test_each_controller_meets_the_same_machine_and_the_run_keeps_true_orbits(
    policy: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder.create("beam_orbit", root=tmp_path)
    shutil.copy(policy, run.policy)
    (run.flights / "correction_99_svd.npz").write_bytes(b"of an earlier trial")
    line = ["trial", str(run.path), "--machines", "1", "--seed", "4", "--steps", "7", "--config", str(config)]
    assert cli.main([*line, "--controllers", "gain_filter", "policy", "--json"]) == 0
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    assert machine["before_m"] > 2e-3 and machine["controllers"]["gain_filter"]["after_m"] < 1e-3
    assert machine["controllers"]["gain_filter"]["moves"] <= 7
    assert run.metrics()["trial"]["machines"] == [machine]
    filtered, untrained = (Flight.load(run.flights / f"correction_04_{c}.npz") for c in ("gain_filter", "policy"))
    assert not (run.flights / "correction_99_svd.npz").exists()
    for flight in (filtered, untrained):
        assert flight["true_orbit"][0] == pytest.approx(filtered["true_orbit"][0], abs=5e-4), "drift since it came up"
        alive = [i for i, r in enumerate(flight.columns["true_orbit"].elements) if r[:-2] not in machine["dead"]]
        shown, true = flight["bpm_position"][:, alive], flight["true_orbit"][:, alive]
        assert np.abs(shown - true).max() < 5e-4, "what lives shows the beam, but for noise"
    assert not filtered["corrector_current"][0].any() and filtered["corrector_current"][-1].any()
    assert cli.main(["report", str(run.path)]) == 0
    assert "live, gain filter: under 1 mm in 7 moves" in capsys.readouterr().out
    assert 'id="orbits"' in run.report.read_text(encoding="utf-8")


def test_what_cannot_be_tried_is_said_in_a_line(
    policy_of_four_bpms: Path, policy: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        ([str(policy), "--machines", "0"], "--machines 0: must be 1 at least"),
        ([str(policy_of_four_bpms)], "made for 8 BPM readings, machine 'cafe2_cm1' has 10"),
        ([str(tmp_path / "absent.onnx")], "absent.onnx"),
        (["--root", str(tmp_path)], "robostack train"),
    ):
        assert cli.main(["trial", *words, "--config", str(config)]) == 1
        assert said in capsys.readouterr().err
    text = config.read_text()
    config.write_text(text.replace("beam_current_min = 1.0", "beam_current_min = 30.0"))
    line = ["trial", str(policy), "--machines", "1", "--controllers", "svd", "--steps", "1", "--config", str(config)]
    assert cli.main(line) == 1
    assert "machine 1, SVD, nominal matrix: not corrected" in (err := capsys.readouterr().err)
    assert "the beam is gone; nothing was put" in err
