"""A policy on a machine at its own rate: infers, and acts where the machine has something to act with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from robostack.devices import Device
from robostack.export.onnx import LoadedPolicy
from robostack.runtime import loop
from robostack.runtime.controller import Controller, Sample
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec

TOLD_S = 1.0
"""between two lines of what goes on"""
FIRST_S = 2.0
"""within which every channel must have come once"""


def watch(
    device: Device,
    policy: LoadedPolicy,
    told: Callable[[], Mapping[str, Sample]],
    *,
    live: bool,
    seconds: float | None,
    say: Callable[[str], object],
) -> tuple[str, loop.Timing]:
    """Runs it for `seconds`, or until Ctrl-C, a trip of its envelope or a lost machine; `told` has the channels that
    are commands; `live` arms the machine, else the actions are computed and thrown away. Why it ended early, empty when
    it did not, and the loop's timing.

    Raises ContractError for a policy that reads what nobody measures or says, ConnectionError for no machine.
    """
    spec = policy.spec
    names, measured = {c.name for c in spec.observations}, set(device.channels)
    if absent := [c.name for c in spec.observations if c.source == "sensor" and c.name not in measured]:
        listed = ", ".join(absent)
        raise ContractError(
            f"{device.where}: measures no {listed}, which {policy.origin} reads; name what does: --on URI"
        )
    if unsaid := sorted(names - measured - told().keys()):
        raise ContractError(f"{policy.origin}: reads the command {', '.join(unsaid)}; --tell NAME=VALUES says it")
    controller = Controller(Runner(policy), spec)
    every = max(1, round(TOLD_S / spec.control_dt_s))
    periods = None if seconds is None else round(seconds / spec.control_dt_s)
    why, count = "", 0

    def tick(missed: int) -> None:
        nonlocal why, count
        try:
            samples = {**device.read(), **{name: sample for name, sample in told().items() if name in names}}
            if not controller.status.armed and not (waits_for := names - samples.keys()):
                if live:
                    device.arm()
                controller.arm()
            action = controller.tick(samples, missed)
            controller.applied(device.write(action))
        except ConnectionError as error:
            why = str(error)
            raise loop.Stop from error
        status = controller.status
        if not status.armed and count * spec.control_dt_s > FIRST_S:
            why = f"{', '.join(sorted(waits_for))} has not come once in {FIRST_S:g} s"
            raise loop.Stop
        if status.tripped or device.tripped:
            why = device.tripped or f"the envelope tripped: {status.reason.name.lower()} {status.channel or ''}".strip()
            raise loop.Stop
        if count % every == 0:
            say(f"{count * spec.control_dt_s:6.1f} s  " + _in_words(spec.action_names, action))
        count += 1

    with device:
        timing = loop.run(tick, spec.control_dt_s, stop=device.stop, periods=periods)
    return why, timing


def commands(words: tuple[str, ...], spec: PolicySpec) -> dict[str, Sample]:
    """From place=0.5,0,0 a command channel's sample. Raises ContractError."""
    channels = {c.name: c for c in spec.observations if c.source == "command"}
    found: dict[str, Sample] = {}
    for word in words:
        name, _, numbers = word.partition("=")
        try:
            values = np.array([float(n) for n in numbers.split(",")])
        except ValueError as error:
            raise ContractError(f"--tell {word}: give NAME=NUMBER,NUMBER,...") from error
        if name not in channels or values.size != channels[name].size:
            known = ", ".join(f"{c.name} of {c.size}" for c in channels.values()) or "none"
            raise ContractError(f"--tell {word}: the policy's commands are {known}")
        found[name] = (values, 0.0)
    return found


def _in_words(names: tuple[str, ...], action: np.ndarray) -> str:
    return "  ".join(f"{name} {value:+.4g}" for name, value in zip(names, action, strict=True))
