"""A run folder as `make fly` leaves it, from closed forms: for tests of its readers only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robostack.evaluate.flight import Column, Flight
from robostack.export.onnx import export_onnx
from robostack.run_folder import RunFolder
from robostack.spec import PolicySpec

DT_S = 0.01
HOVER_RAD_S = 1450.0
ROTORS = ("front_right", "back_right", "back_left", "front_left")


def recovery(index: int, *, lost: bool = False) -> Flight:
    """A damped return from a tilted start; `lost` ones leave the box."""
    rng = np.random.default_rng(index)
    t = np.arange(500) * DT_S
    start, velocity = rng.uniform(-0.2, 0.2, 3), rng.uniform(-1, 1, 3)
    decay, omega = rng.uniform(2.5, 4.0), rng.uniform(1.5, 3.0)
    swing = (velocity + decay * start) / omega
    position = np.exp(-decay * t)[:, None] * (np.cos(omega * t)[:, None] * start + np.sin(omega * t)[:, None] * swing)
    position += 0.012 * rng.standard_normal(3) + 0.002 * rng.standard_normal((500, 3))
    tilt = rng.uniform(0.2, np.pi / 2) * np.exp(-5 * t) * np.cos(6 * t) + 0.02 * np.sin(9 * t + index)
    if lost:
        position[:, 2] -= 2.0 * np.maximum(0, t - 0.3) ** 2
    attitude = np.stack([np.cos(tilt / 2), np.sin(tilt / 2), 0 * t, 0 * t], axis=1)
    return _flight(
        f"recover_{index:02d}",
        position,
        np.zeros_like(position),
        attitude,
        rng,
        {"kind": "recover", "transport": "lockstep"},
    )


def figure_eight(period_s: float) -> Flight:
    """Two laps of a 2 x 1 m figure-eight, followed with a lag that grows with speed."""
    rng = np.random.default_rng(round(period_s))
    t = np.arange(round(2 * period_s / DT_S)) * DT_S

    def path(phase: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(phase), 0.5 * np.sin(2 * phase), 0 * phase], axis=1)

    ramp = 1 - np.exp(-t / 0.8)
    phase, lag = 2 * np.pi * t / period_s, 0.28 / period_s
    position = (1 - 0.5 * lag) * path((phase - 0.5 * lag) * ramp) + 0.006 * rng.standard_normal((len(t), 3)).cumsum(
        0
    ) / 12
    tilt = 0.35 * (5.5 / period_s) ** 2 * np.sin(phase)
    attitude = np.stack([np.cos(tilt / 2), 0 * t, np.sin(tilt / 2), 0 * t], axis=1)
    about = {"kind": "figure_eight", "period_s": period_s, "transport": "lockstep"}
    return _flight(f"figure_eight_{period_s:g}s", position, path(phase * ramp), attitude, rng, about)


def serial_hover() -> Flight:
    """A hover over the serial line, with the round trips of one."""
    rng = np.random.default_rng(7)
    position = 0.01 * rng.standard_normal((1000, 3)).cumsum(0) / 20
    level = np.tile([1.0, 0, 0, 0], (1000, 1))
    flight = _flight("serial_hover", position, 0 * position, level, rng, {"kind": "hover", "transport": "serial"})
    flight.timing["echo_s"] = 2.4e-3 + rng.gamma(3.0, 2.5e-4, 300)  # type: ignore[index]
    flight.timing["answer_s"] = 1e-2 + rng.normal(0.0, 2e-4, 1000)  # type: ignore[index]
    return flight


def make_example_run(root: Path) -> RunFolder:
    """Writes the whole folder except exported/."""
    run = RunFolder.create("quadrotor", root=root)
    for i in range(40):
        recovery(i, lost=i == 17).save(run.flights / f"recover_{i:02d}.npz")
    for period_s in (15.0, 5.5, 3.5):
        flight = figure_eight(period_s)
        flight.save(run.flights / f"{flight.name}.npz")
    serial_hover().save(run.flights / "serial_hover.npz")
    history = [
        {"iteration": i, "wall_s": 0.26 * i / 10, "survival": 0.98 / (1 + np.exp(-(i - 85) / 14)),
         "rms_position_error_m": 0.35 * np.exp(-i / 60) + 0.021 + 0.004 * np.sin(i / 5)}
        for i in range(0, 250, 5)
    ]  # fmt: skip
    rows = [
        _row("survival, worst of 5 seeds", 97.1, "%", 93, "higher", 83, "L2F 83-93 %"),
        _row("RMS position error, last 2 s", 0.023, "m", 0.04, "lower", 0.206, "L2F 0.21-0.41 m"),
        _row("figure-eight, 15 s", 0.021, "m", 0.03, "lower", 0.17, "L2F"),
        _row("figure-eight, 5.5 s", 0.081, "m", 0.10, "lower", 0.25, "L2F"),
        _row("figure-eight, 3.5 s", 0.34, "m", 0.30, "lower", None, "L2F fails"),
        _row("lockstep steps a second", 1610, "1/s", 1000, "higher", None, ""),
    ]
    ports = [
        _port("onnxruntime", "self_test", 16, 2.1e-7, 1e-5, None),
        _port("c_host", "self_test", 16, 1.3e-5, 1e-4, True),
        _port("c_host", "random", 1000, 1.4e-5, 1e-4, True),
        _port("c_board", "self_test", 16, 1.3e-5, 1e-4, True),
        _port("c_board", "random", 1000, 1.4e-5, 1e-4, True),
    ]
    run.record(
        train={"wall_s": 6.4, "best_iteration": 220, "history": history},
        verify={"ports": ports},
        fly={"rows": rows},
        export={"kernel_calls": 9},
        stages={"train": 6.4, "export": 0.3, "verify": 2.2, "fly": 14.8},
        machine={"cpu": "An example processor", "cores": "2"},
        versions={"robostack": "0.1.0"},
    )
    return run


def _row(
    what: str, value: float, unit: str, bar: float, better: str, ref: float | None, name: str
) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bar": bar, "better": better,
            "reference_value": ref, "reference": name}  # fmt: skip


def _flight(
    name: str, position: np.ndarray, reference: np.ndarray, attitude: np.ndarray, rng: np.random.Generator,
    about: dict[str, object],
) -> Flight:  # fmt: skip
    n = len(position)
    t = np.arange(n) * DT_S
    swing = 260 * np.exp(-3 * t)[:, None] * np.sin(11 * t[:, None] + np.arange(4) * np.pi / 2)
    work = 90 * np.abs(np.gradient(reference[:, 0], DT_S))[:, None] * np.sin(3 * t[:, None] + np.arange(4))
    rotor = HOVER_RAD_S + swing + work + 6 * rng.standard_normal((n, 4))
    columns = {
        "position": Column(position, "m", ("px", "py", "pz")),
        "reference": Column(reference, "m"),
        "attitude": Column(attitude, "quat_wxyz"),
        "rotor_speed": Column(rotor, "rad/s", ROTORS),
    }
    timing = {"instructions": 26_900 + np.round(120 * rng.standard_normal(n))}
    return Flight(name, DT_S, columns, np.zeros(n, np.uint8), timing, about)


def _port(port: str, vectors: str, count: int, error: float, tolerance: float, bits: bool | None) -> dict[str, object]:
    return {
        "port": port,
        "vectors": vectors,
        "count": count,
        "error": error,
        "tolerance": tolerance,
        "bit_identical": bits,
        "status": "passed",
        "note": "",
    }


class HoverActor:
    """A policy of one matrix: rotor speeds that fall with the height. Enough of one to export."""

    slope = np.float32(50.0)

    def onnx(self, graph, channel_names, applied_action, state):
        weights = np.zeros((3, 4), np.float32)
        weights[2] = -self.slope
        bias = np.full(4, HOVER_RAD_S, np.float32)
        return graph.op("Gemm", channel_names["position"], graph.constant(weights), graph.constant(bias)), None

    def __call__(self, observation, applied_action, state, /):
        height = observation["position"][:, 2:]
        return np.tile(np.float32(HOVER_RAD_S) - self.slope * height, (1, 4)).astype(np.float32), None


def export_example(run: RunFolder, spec: PolicySpec) -> None:
    """Adds exported/policy.onnx with the contract `spec`."""
    actor = HoverActor()
    export_onnx(actor, spec, run.policy, reference=actor)
