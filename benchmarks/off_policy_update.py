"""One update of TD3 and of SAC at batch 256, against stable-baselines3's in the same run, on one thread.

    python benchmarks/off_policy_update.py [--quick]

Both draw from a replay of the quadrotor's transitions, on the CPU. The networks have equal sizes: as many inputs as our
actor has features and two hidden layers, of critics and actor. Ours: tanh actor, ReLU critics that see the privileged
channels instead. Theirs: their defaults, ReLU. Calls of 32 updates, the fastest of many, taken in turns, in seconds of
CPU time: another process on the machine slows both. A training of the default length compiles its updates. That starts
from an empty cache here, the C++ compiler's seconds count, and it has paid when what it saves an update adds up to it.
--quick makes fewer calls and compiles nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write

from robostack.learn.off_policy import OffPolicy, OffPolicyLearner
from robostack.learn.sac import SAC
from robostack.learn.td3 import TD3
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

UPDATES, BATCH = 32, 256
TRANSITIONS = 20_000


def ours(kind: type[OffPolicy], width: int, compile: bool | None) -> OffPolicyLearner:
    """Its `update` makes UPDATES updates; it is set up for as many as are the default."""
    torch.manual_seed(0)
    task = Quadrotor(QuadrotorConfig(num_envs=100))
    config: Any = kind(
        steps=TRANSITIONS // 100,
        updates=UPDATES,
        batch_size=BATCH,
        replay_size=TRANSITIONS,
        warmup=TRANSITIONS + 1,
        actor=ActorConfig(hidden=(width, width)),
        critic=CriticConfig(hidden=(width, width)),
        compile=compile,
    )
    learner: OffPolicyLearner = config.learner(task)
    learner.iterate()
    return learner


def theirs(name: str, width: int, inputs: int) -> Callable[[], Any]:
    """Raises ImportError where stable-baselines3 is not installed."""
    import gymnasium
    import stable_baselines3
    from stable_baselines3.common.logger import Logger

    class Empty(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (inputs,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    torch.manual_seed(0)
    model = getattr(stable_baselines3, name)(
        "MlpPolicy", Empty(), buffer_size=TRANSITIONS, policy_kwargs={"net_arch": [width, width]}, device="cpu"
    )
    model.set_logger(Logger(None, []))
    draw = np.random.default_rng(0).standard_normal
    for _ in range(TRANSITIONS):
        seen = [draw((1, n)).astype(np.float32) for n in (inputs, inputs, 4)]
        model.replay_buffer.add(*seen, draw(1), np.zeros(1), [{}])
    return lambda: model.train(UPDATES, BATCH)


def fastest(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Microseconds an update of each call."""
    best = [float("inf")] * len(calls)
    for number in range(rounds + 1):  # the first one warms up
        for k, call in enumerate(calls):
            start = time.process_time()
            call()
            if number:
                best[k] = min(best[k], (time.process_time() - start) / UPDATES * 1e6)
    return best


def seconds(call: Callable[[], Any]) -> float:
    """Of CPU time, of this process and those that it starts."""
    start = os.times()
    call()
    return sum(os.times()[:4]) - sum(start[:4])


def measured(kind: type[OffPolicy], width: int, quick: bool) -> list[dict[str, Any]]:
    """Rows of one learner at one width of its networks."""
    plain, default = ours(kind, width, compile=False), ours(kind, width, compile=False if quick else None)
    build_s = seconds(default.update)
    reference = theirs(kind.__name__, width, plain.columns.actor)
    rounds = (10 if quick else 60) * 64 // width
    us, default_us, peer = fastest([plain.update, default.update, reference], rounds)
    what, bar = f"{kind.__name__} update, batch {BATCH}, hidden layers 2 x {width}", 2.0 if width == 64 else None
    against: dict[str, Any] = {"reference": "stable-baselines3", "reference_value": round(peer, 1)}
    speed = "times stable-baselines3's speed"
    eager = [
        row(f"{what}, not compiled", us, "us", **against),
        row(f"{what}, not compiled: {speed}", peer / us, "x", better="higher"),
    ]
    if quick:
        return eager
    return [
        row(what, default_us, "us", **against),
        row(f"{what}: {speed}", peer / default_us, "x", bar, better="higher"),
        row(f"{what}: compiling", build_s, "s"),
        row(f"{what}: compiling has paid after", build_s / (us - default_us), "M updates"),
        *eager,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer calls, nothing compiled")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        rows = [r for width in (64, 256) for kind in (TD3, SAC) for r in measured(kind, width, options.quick)]
    write("off_policy_update", rows, options.out)


if __name__ == "__main__":
    main()
