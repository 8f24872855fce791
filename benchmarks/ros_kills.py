"""SIGKILL at random moments in flight: 200 processes of the quadrotor stack, one at a time.

    python benchmarks/ros_kills.py [--quick]

Three layouts over real DDS: a simulated machine; the policy on an emulated board; the policy in ROS 2 and the board a
device. Killed are policy, setpoint, supervisor, the device's node, and the board. Timed is from the kill to when a node
tells of it, by its middleware's clock, over what is declared: a channel's, an action's or the supervisor's age and a
period, the motor controllers' time-out, or the silence after which the supervisor says that the device is gone. What
the dead one sent must have ended; it is started again at once, and the next flight has to begin. The nodes are under
SCHED_FIFO. An emulator that gets no processor stands still, its board's clock and the simulated machine with it: what
it stood still for longer than a motor controller waits is not counted as the stack's, and has a row of its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write
from _stack import Ear, Running, flying_policy

from robostack.export.onnx import LoadedPolicy, load_policy
from robostack_real.nodes.device_node import HEARTBEAT_AGE_S
from robostack_real.nodes.supervisor_node import STATUS_AGE_S
from robostack_real.twins.behind_board import ESC_TIMEOUT_S

DOMAIN = 97
LAYOUTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sim": ({}, ("setpoint", "policy", "supervisor", "device")),
    "policy on a board": ({"target": "board"}, ("setpoint", "supervisor", "device", "board")),
    "board as a device": ({"target": "board", "policy_on": "host"}, ("setpoint", "policy", "supervisor", "device",
                                                                     "board")),
}  # fmt: skip
SAYS = {"setpoint": "setpoint", "policy": "action", "supervisor": "heartbeat", "device": "applied_action"}
"""on which topic a role speaks"""
LEFT_OUT = (("policy on a board", "device"), ("board as a device", "setpoint"))
"""of a quick campaign"""
HEARD_S = 0.1
"""what was on its way when its sender died has come by then"""
ANSWERED_S = 3.0
"""after what is declared: nothing that comes later is an answer"""
GONE_S, FREED_S = 3.0, 10.0
"""by when a dead node's board has ended, and DDS has freed its shared memory"""


@dataclass
class Campaign:
    """What came of the kills."""

    late_s: dict[str, list[float]] = field(default_factory=dict)
    """beyond what is declared, by what was killed; infinite where no fallback came"""
    kills: int = 0
    stood_still_s: float = 0.0
    """the longest for which an emulated board had no processor"""
    given_up: int = 0
    """flights that did not begin for that reason, and did when they were asked for again"""
    other_rung: int = 0
    leftovers: int = 0
    orphans: int = 0
    ghosts: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)


class Flight:
    """One layout, up; `kill` is one flight."""

    def __init__(
        self, running: Running, ear: Ear, policy: LoadedPolicy, asked: Any, campaign: Campaign, random: Any
    ) -> None:
        self._running, self._ear, self._campaign, self._random = running, ear, campaign, random
        spec = policy.spec
        self._neutral = np.array(spec.action_limit("neutral"))
        ages = {c.name: c.max_age_s for c in spec.observations}
        quickest = min(c.max_age_s for c in spec.observations if c.source == "sensor")
        dt = spec.control_dt_s
        if "target" in asked:
            dt *= 2  # a device tells of a period when the board's has passed too
        held_back_s = ages["setpoint"] if "board" in running.described else 0.0
        """a board hears nothing of a silent supervisor but setpoints that age"""
        self._declared_s = {
            "setpoint": ages["setpoint"] + dt, "policy": quickest + dt,
            "supervisor": HEARTBEAT_AGE_S + held_back_s + dt, "device": STATUS_AGE_S + 0.02,
            "board": ESC_TIMEOUT_S + dt,
        }  # fmt: skip

    def kill(self, layout: str, victim: str) -> None:
        ear, done = self._ear, self._campaign
        if not self._flies():
            done.refused += 1
            states = [(r, ear.state(r)) for r in ("policy", "device", "supervisor")]
            done.notes.append(f"{layout}, before {victim}: no flight; {states} {self._running.lines[-5:]}")
            self._again([*self._running.described])
            return
        ear.for_s(float(self._random.uniform(0.1, 1.0)))
        role = self._running.device if victim in ("device", "board") else victim
        process = self._running.running[role]
        boards = children(process.pid)
        dead = ear.session(victim) if victim != "board" else ""
        ear.gap_s.clear()
        for pid in boards if victim == "board" else [process.pid]:
            os.kill(pid, signal.SIGKILL)
        killed_s = time.time()
        came = ear.until(lambda: self._answered(victim), self._declared_s[victim] + ANSWERED_S)
        stood_still_s = ear.gap_s.get("applied_action", 0.0) if boards and victim not in ("board", "device") else 0.0
        if stood_still_s < ESC_TIMEOUT_S:
            stood_still_s = 0.0
        done.stood_still_s = max(done.stood_still_s, stood_still_s)
        took_s = self._answered_s(victim) - killed_s - stood_still_s
        late = took_s - self._declared_s[victim] if came else float("inf")
        print(f"{layout}, {victim}: answered {1e3 * late:.1f} ms after what is declared", flush=True)
        done.kills += 1
        done.late_s.setdefault(victim, []).append(late)
        if not came:
            done.notes.append(f"{layout}, {victim}: no fallback; {self._running.lines[-5:]}")
        elif victim not in ("board", "device") and ear.report("device").values["rung"] != "0":
            done.other_rung += 1
        if victim == "board":
            process.send_signal(signal.SIGKILL)  # a board does not come back by itself
        process.wait()
        self._listen_for_leftovers(victim, killed_s)
        if victim in ("board", "device"):
            ear.until(lambda: not any(map(alive, boards)), GONE_S)
            done.orphans += sum(map(alive, boards))
        self._again([role])
        if dead:
            ear.until(lambda: ear.speaks(victim) and ear.session(victim) != dead)
            done.ghosts += len(ear.node.get_publishers_info_by_topic(f"{victim}_status")) > 1

    def _flies(self) -> bool:
        """On the stand and off it. Once more where an emulated board stood still meanwhile: then the supervisor is
        right to give it up."""
        ear, done = self._ear, self._campaign
        for _ in range(2):
            if not ear.on_the_stand():
                return False
            ear.gap_s.clear()
            if ear.take_off():
                return True
            stood_still_s = ear.gap_s.get("applied_action", 0.0) if "board" in self._running.described else 0.0
            if stood_still_s < STATUS_AGE_S:
                return False
            done.stood_still_s = max(done.stood_still_s, stood_still_s)
            done.given_up += 1
        return False

    def _answered(self, victim: str) -> bool:
        ear = self._ear
        if victim == "device":
            return ear.state("supervisor") == "fallback"
        if victim == "board":
            applied = ear.newest["applied_action"].velocity
            return ear.state("device") == "fallback" and bool(np.allclose(applied, self._neutral))
        return ear.state("device") == "fallback"

    def _answered_s(self, victim: str) -> float:
        """When that was sent."""
        if victim == "board":
            return self._ear.sent_s["applied_action"]
        return self._ear.since_s["supervisor" if victim == "device" else "device"]

    def _listen_for_leftovers(self, victim: str, killed_s: float) -> None:
        topic = SAYS.get(victim, SAYS["device"])
        self._ear.for_s(max(0.0, killed_s + HEARD_S - time.time()))
        before = time.monotonic()
        self._ear.for_s(0.2)
        self._campaign.leftovers += self._ear.came_s.get(topic, 0.0) > before

    def _again(self, roles: list[str]) -> None:
        for role in roles:
            old = self._running.running[role]
            old.kill()
            old.wait()
            self._running.start(self._running.described[role])


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [int(p) for p in found]


def alive(pid: int) -> bool:
    """A zombie too: nobody has waited for it."""
    return Path(f"/proc/{pid}").exists()


def shared_memory() -> int:
    """Bytes of Fast DDS in /dev/shm."""
    return sum(p.stat().st_size for p in Path("/dev/shm").glob("*fastrtps_*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="11 kills, each of another kind")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/ros_kills.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    count = 11 if args.quick else 200
    random, campaign = np.random.default_rng(0), Campaign()
    kinds = [(layout, victim) for layout, (_, victims) in LAYOUTS.items() for victim in victims]
    if args.quick:
        kinds = [kind for kind in kinds if kind not in LEFT_OUT]
    grown = 0
    with tempfile.TemporaryDirectory() as name:
        policy = flying_policy(Path(name))
        for layout, (asked, _) in LAYOUTS.items():
            ear = Ear(DOMAIN)
            with Running(policy, DOMAIN, fifo=50, **asked) as running:
                ear.on_the_stand()
                before = shared_memory()
                flight = Flight(running, ear, load_policy(policy), asked, campaign, random)
                for k in range(count):
                    if kinds[k % len(kinds)][0] == layout:
                        flight.kill(*kinds[k % len(kinds)])
                if not (ear.on_the_stand() and ear.take_off()):
                    campaign.refused += 1
                    campaign.notes.append(f"{layout}: no flight after the last kill; {running.lines[-5:]}")
                ear.until(lambda was=before: shared_memory() <= was, FREED_S)  # type: ignore[misc]
                grown += max(0, shared_memory() - before)
            ear.close()
    zombies = len([p for p in children(os.getpid()) if alive(p)])
    print(*campaign.notes, sep="\n")
    rows = [row("kills in flight", campaign.kills, "", count, better="higher")]
    lates = {victim: campaign.late_s.get(victim, [float("inf")]) for victim in (*SAYS, "board")}
    rows += [row(f"{victim} killed, {len(lates[victim])} times: latest answer, over what is declared",
                 max(1e3 * max(lates[victim]), 0.0), "ms", 10.0) for victim in lates]  # fmt: skip
    rows += [
        row("an emulated board stood still, longest", 1e3 * campaign.stood_still_s, "ms"),
        row("of the flights, begun a second time since it did", campaign.given_up, ""),
        row("kills without a fallback", sum(np.isinf(x) for late in lates.values() for x in late), "", 0),
        row("another rung than the first", campaign.other_rung, "", 0),
        row("dead ones still heard 0.1 s later", campaign.leftovers, "", 0),
        row("restarts refused", campaign.refused, "", 0),
        row("of the restarts, with the dead one still in the DDS graph", campaign.ghosts, ""),
        row("processes left over, zombies too", campaign.orphans + zombies, "", 0),
        row("growth of /dev/shm, 10 s after the last restart at the latest", grown / 1024, "KiB", 0),
    ]
    write("ros_kills", rows, args.out)


if __name__ == "__main__":
    main()
