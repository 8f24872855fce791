"""The Python way in: train, export, load, act."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import robostack as rs


def test_a_policy_is_trained_exported_loaded_and_asked_in_five_lines(tmp_path: Path) -> None:
    task = rs.make("quadrotor", num_envs=8, vehicle="crazyflie_2_1")
    run = rs.train(task, rs.learn.SHAC(iterations=2, horizon=4), seed=0, root=tmp_path)
    run.export(tmp_path / "policy.onnx")
    policy = rs.load(tmp_path / "policy.onnx")
    hover = {c.name: np.zeros(c.shape, np.float32) for c in policy.spec.observations}
    hover["attitude"][0] = 1.0
    action, state = policy.infer(hover, np.zeros(4, np.float32), policy.reset())
    assert action.shape == (4,)
    assert state is not None
    assert np.isfinite(action).all()
    assert run.result["iterations"] == 2
