"""A policy with a memory takes over from another one in mid-flight: the ball, whose wind no sensor tells."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))

from ball import Ball, BallConfig

from robostack.export.calibration import calibrated
from robostack.export.firmware import Precision, export_firmware
from robostack.export.host import HostPolicy
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.learn.shac import SHAC, ShacLearner
from robostack.learn.trained import as_reference, policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack.task import Layout
from robostack_real.link.protocol import Actuation
from robostack_real.link.session import BoardSession
from robostack_real.twins.board import LockstepBoard
from robostack_real.twins.build import build_firmware

SHADOW = 50
ITERATIONS = 12
RECURRENT = ActorConfig(hidden=(16,), recurrent=8)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], LoadedPolicy]:
    """Briefly trained ones by their seed: each remembers the wind in a way of its own."""
    folder = tmp_path_factory.mktemp("policies")

    @functools.cache
    def train(seed: int) -> LoadedPolicy:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        task = Ball()
        learner = ShacLearner(task, SHAC(iterations=ITERATIONS, horizon=20, actor=RECURRENT))
        for _ in range(ITERATIONS):
            learner.iterate()
        actor = Actor(task, RECURRENT)
        actor.load_state_dict(learner.actor.state_dict())
        spec = policy_spec(task, actor, {})
        loaded = export_onnx(actor, spec, folder / f"{seed}.onnx", reference=as_reference(actor), self_test_rows=4)
        return calibrated(loaded)

    return train


class Flight:
    """A ball on its rail with a board in the loop: what the board saw, and what it answered."""

    def __init__(self, session: BoardSession, policy: LoadedPolicy) -> None:
        self.session, self.task = session, Ball(BallConfig(num_envs=1, episode_s=1e6), seed=4)
        self.columns = Layout(self.task.channels).indices(tuple(c.name for c in policy.spec.observations))
        self.rows: list[np.ndarray] = []
        self.answers: list[Actuation] = []
        session.check(policy.spec, policy.policy_hash)
        session.observe(self.measured())

    def measured(self) -> np.ndarray:
        return self.task.observe().flat[0, self.columns].numpy()

    def step(self) -> None:
        self.rows.append(self.measured())
        self.answers.append(self.session.observe(self.rows[-1]))
        self.task.step(torch.from_numpy(np.array(self.answers[-1].action))[None])

    def fly(self, periods: int) -> None:
        for _ in range(periods):
            self.step()


@pytest.fixture(params=[("host", "float32"), ("netduinoplus2", "float32"), ("netduinoplus2", "int16")], ids="-".join)
def flight(
    request: pytest.FixtureRequest, policy: Callable[[int], LoadedPolicy], tmp_path: Path
) -> Iterator[tuple[Flight, Precision]]:
    board, precision = request.param
    tiny.need(tiny.missing_tools(board), f"for {board}, tools")
    export_firmware(policy(0), tmp_path / "firmware", precision, hot_swap=True)
    built = build_firmware(tmp_path / "firmware", tmp_path / "firmware" / "generated", tmp_path / "build", board=board)
    with LockstepBoard(built, board) as session:
        yield Flight(session, policy(0)), precision


class Network:
    """A policy's own C on this machine, with the memory that it would have."""

    def __init__(self, policy: LoadedPolicy, precision: Precision) -> None:
        self.c, self.state = HostPolicy(policy, precision), np.array(policy.spec.state.reset, np.float32)

    def act(self, row: np.ndarray, applied: np.ndarray) -> np.ndarray:
        out = self.c.rows(np.concatenate([row, applied, self.state])[None])[0]
        self.state = out[len(applied) :]
        action: np.ndarray = out[: len(applied)]
        return action


def test_a_memory_goes_on_from_what_it_saw_in_the_shadow_and_the_action_has_no_bump(
    flight: tuple[Flight, Precision], policy: Callable[[int], LoadedPolicy]
) -> None:
    """To the bit what the C of both policies says; and beside one that had flown all along, what is left of the other
    network's memory is less than a thousandth of the action's range, where it would have been a hundredth."""
    flown, precision = flight
    session, old, new = flown.session, policy(0), policy(1)
    session.arm()
    flown.fly(60)
    session.load(new, meanwhile=flown.step)
    flown.fly(20)
    assert session.identify().policy_hash == new.policy_hash

    answers = [a.action for a in flown.answers]
    applied = [np.zeros(1, np.float32), *answers[:-1]]
    first, along = Network(old, precision), Network(new, precision)
    by_old, memories, by_along = [], [], []
    for row, before in zip(flown.rows, applied, strict=True):
        by_old.append(first.act(row, before))
        memories.append(first.state)
        by_along.append(along.act(row, before))
    changed = next(i for i, (a, b) in enumerate(zip(answers, by_old, strict=True)) if a.tobytes() != b.tobytes())
    start = changed - SHADOW
    shadow, unshadowed = Network(new, precision), Network(new, precision)
    shadow.state, unshadowed.state = memories[start - 1], memories[changed - 1]
    by_shadow = [shadow.act(row, before) for row, before in zip(flown.rows[start:], applied[start:], strict=True)]
    assert np.array(answers[changed:]).tobytes() == np.array(by_shadow[SHADOW:]).tobytes()

    (push,) = old.spec.actions
    span = push.high[0] - push.low[0]
    assert abs(answers[changed] - by_along[changed])[0] < 1e-3 * span
    assert abs(unshadowed.act(flown.rows[changed], applied[changed]) - by_along[changed])[0] > 1e-2 * span
    ticks = [a.tick for a in flown.answers]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert not any(a.tripped for a in flown.answers) and flown.answers[-1].deadline_misses == 0


def test_disarmed_it_changes_over_at_once_and_arming_gives_it_its_own_reset_state(
    flight: tuple[Flight, Precision], policy: Callable[[int], LoadedPolicy]
) -> None:
    flown, precision = flight
    session, new = flown.session, policy(1)
    session.load(new)
    session.arm()
    flown.fly(5)
    network, applied = Network(new, precision), np.zeros(1, np.float32)
    for row, answer in zip(flown.rows, flown.answers, strict=True):
        assert network.act(row, applied).tobytes() == answer.action.tobytes()
        applied = answer.action
