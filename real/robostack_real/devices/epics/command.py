"""`robostack run`: steer a machine by a policy, over EPICS also by a classical controller"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy
    from robostack.runtime.controller import Controller
    from robostack_real.devices.epics.device import EpicsDevice
    from robostack_real.devices.epics.machine import BeamMachine

HELD, HELD_BLIND = 3, 4
"""exit status: held and verified; held, and something does not stand as we left it or could not be seen"""
PER_MM = 1e3
WORSE = 1.1
"""the last orbit is left for the best one when it is worse by so much"""


@dataclass(frozen=True)
class Command:
    """Run a policy on a machine that is read and commanded from here, behind the policy's envelope. --live acts.

    A machine over EPICS Channel Access is steered by the policy, or by a classical controller.
    By default nothing is put: connects, checks every PV, reads the orbit and prints the first move.
    Ctrl-C, SIGTERM, a lost beam, an alarm, a stale PV or somebody else's change of a setpoint ends it with all
    setpoints held where they are and verified; nothing moves back by itself. --restore is the operator's way back.

    Exit status: 0 done; 1 refused, nothing was put; 3 held and verified; 4 held, and not all stands as we left it.

    A magnetic skin on a serial port (AnySkin, ReSkin) is felt at the policy's own rate until Ctrl-C, and the actions
    are printed; with --on the rest of the machine is another device, such as a simulated arm, and --live moves it. It
    ends with status 3 when the envelope trips or the skin is unplugged. --port twin --live goes through all scenarios
    of the policy's task, felt over a virtual serial line; a run keeps figures and flights for its report.

    Example: robostack run policy.onnx --device epics --config machine.toml
    Example: robostack run policy.onnx --device epics --config machine.toml --live --steps 10
    Example: robostack run policy.onnx --device anyskin --port /dev/ttyACM0
    Example: robostack run logs/tactile_placement/latest --device anyskin --port twin --live
    Example: robostack run --config machine.toml --restore logs/epics/2026-11-30_14-00-00-000000/snapshot.json --live
    """

    config: Path | None = None
    """epics: the machine's file: PVs, limits, interlocks."""
    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    device: Literal["epics", "anyskin"] = "epics"
    port: str | None = None
    """anyskin: /dev/ttyACM0; of two fingers, joined by a comma; or twin: what the simulated machine of --on feels, over
    a virtual serial line, or without --on those of all scenarios, one by one."""
    on: str | None = None
    """anyskin: the device that has everything else, by its URI (sim://SCENARIO)."""
    tell: tuple[str, ...] = ()
    """anyskin: commands that the policy reads, such as place=0.5,0,0. Default: those of a simulated scenario."""
    allow_dead: int = 0
    """anyskin: as many magnetometers may be dead, and then read 0."""
    seconds: float | None = None
    """anyskin: default: until Ctrl-C."""
    live: bool = False
    """Act. Without it nothing is put."""
    controller: Literal["policy", "gain_filter", "rls", "svd"] = "policy"
    """What decides; the classical ones start from the response that the policy's file carries."""
    steps: int = 10
    """Moves."""
    bpm_noise_m: float = 1e-4
    """Of a reading, for the classical controllers."""
    panel: bool = False
    """Wait for the operator's Start before the first move."""
    restore: Annotated[Path | None, tyro.conf.arg(metavar="SNAPSHOT")] = None
    """Ramp the correctors back to a snapshot. One that someone else changed since is left alone."""
    restore_changed: bool = False
    """Restore also those that someone else changed."""
    root: Path = Path("logs")
    """Folder with the runs; ours has the snapshot and the log of every put."""

    def run(self) -> int:
        if self.device == "anyskin":
            return self._feel()
        if self.config is None:
            raise ContractError("--config FILE says which machine: its PVs, limits and interlocks")
        if self.steps < 1:
            raise ContractError(f"--steps {self.steps}: must be 1 at least")
        if not self.bpm_noise_m > 0.0:
            raise ContractError(f"--bpm-noise-m {self.bpm_noise_m:g}: must be positive")
        if self.restore_changed and self.restore is None:
            raise ContractError("--restore-changed goes with --restore SNAPSHOT")
        from robostack_real.devices.epics.device import EpicsDevice, new_folder

        if self.restore is not None:
            if self.policy is not None:
                raise ContractError("--restore takes no policy: it puts back what a snapshot says")
            return self._restore(new_folder(self.root))
        from robostack.export.onnx import load_policy

        policy = load_policy(RunFolder.find_policy(self.policy, self.root))
        controller = self._controller(policy)
        device = EpicsDevice(f"epics://{self.config}{'?live' * self.live}", policy, folder=new_folder(self.root))
        with device, _stopped_by_signals(device.machine):
            if not self.live:
                return self._look(device, controller)
            return _held(device.machine, lambda: self._correct(device, controller))

    def _feel(self) -> int:
        if self.port is None:
            raise ContractError("--device anyskin needs --port, such as /dev/ttyACM0")
        if self.live and self.on is None and self.port != "twin":
            raise ContractError("--live: a skin moves nothing; --on URI names what does")
        if self.port == "twin" and not (self.on.startswith("sim://") if self.on else self.live):
            raise ContractError("--port twin needs --on sim://SCENARIO, whose machine feels, or --live for all of them")
        from robostack import devices
        from robostack.export.onnx import load_policy
        from robostack_real.devices.watch import commands, watch

        path = RunFolder.find_policy(self.policy, self.root)
        policy = load_policy(path)
        if self.port == "twin" and self.on is None:
            return self._feel_all(policy, RunFolder.of_policy(path))
        on = f"&on={self.on}" if self.on else ""
        uri = f"anyskin://{self.port}?allow_dead={self.allow_dead}{on}"
        if self.port == "twin":
            uri = f"anyskin_twin://{(self.on or '').removeprefix('sim://')}"
        device: Any = devices.connect(uri, policy)
        given = commands(self.tell, policy.spec)
        told = lambda: {**device.told(), **given}  # noqa: E731
        why, timing = watch(device, policy, told, live=self.live, seconds=self.seconds, say=_say)
        for skin in device.skins:
            _say(f"{skin.where}: {skin.frames} frames, {skin.dropped} dropped, {skin.reconnects} times unplugged")
        _say(f"{timing.ticks} periods, {timing.late} late; p99 of the work {1e3 * timing.work.quantile(0.99):.2f} ms")
        if why:
            print(f"robostack: it ended early: {why}", file=sys.stderr)
        return HELD if why else 0

    def _feel_all(self, policy: LoadedPolicy, run: RunFolder | None) -> int:
        """Every scenario over the virtual line."""
        from rich.console import Console
        from rich.progress import track

        from robostack.commands.report import print_rows
        from robostack_real.twins.skin_flights import PREFIX, Trial

        trial = Trial(policy)
        with run.stage("trial") if run else contextlib.nullcontext():
            console = Console(stderr=True)
            flown = list(track(trial.flights(), "feel", total=len(trial.scenarios), console=console))
            rows = trial.figures(flown)
            if run:
                for old in run.flights.glob(f"{PREFIX}*.npz"):
                    old.unlink()
                for flight in flown:
                    flight.save(run.flights / f"{flight.name}.npz")
                run.record(trial={"policy_hash": policy.policy_hash, "rows": rows})
        print_rows(rows)
        return 0

    def _controller(self, policy: LoadedPolicy) -> Controller:
        from robostack.runtime.controller import Controller
        from robostack.runtime.runner import Runner
        from robostack.spec import State
        from robostack_real.beam.orbit_control import GainFilter, MatrixCorrection, RecursiveLeastSquares

        if self.controller == "policy":
            return Controller(Runner(policy), policy.spec)
        spec = policy.spec
        size = (next((c.size for c in spec.observations if c.name == "bpm_position"), 0), spec.action_size)
        flat = np.array(spec.provenance.get("machine", {}).get("response_m_per_a", ()), float)
        if flat.size != size[0] * size[1] or not flat.size:
            raise ContractError(
                f"{policy.origin}: carries no response for --controller {self.controller}; export it anew"
            )
        response, step_a = flat.reshape(size), float(max(spec.action_limit("high")))
        scale = float(np.sqrt(np.square(response).mean()))
        made: Any
        match self.controller:
            case "gain_filter":
                made = GainFilter(response, step_a, self.bpm_noise_m)
            case "rls":
                made = RecursiveLeastSquares(response, step_a, 0.8 * scale, self.bpm_noise_m, caution=0.1)
            case _:
                made = MatrixCorrection(response, step_a, 0.2 * scale)
        state = State(reset=tuple(made.reset.tolist()))
        return Controller(made, spec.model_copy(update={"state": state}))

    def _look(self, device: EpicsDevice, controller: Controller) -> int:
        """What a live run would put first."""
        controller.arm()
        samples = device.read()
        before = device.machine.setpoint_a
        after = device.machine.limited(before + _tick(device, controller, samples))
        _print_orbit(device, {"now": np.asarray(samples["bpm_position"][0])})
        print("it would put first (dry run: nothing was put; --live acts):")
        for corrector, old, new in zip(device.machine.file.correctors, before, after, strict=True):
            print(f"  {corrector.setpoint:<28} {old:9.4f} -> {new:9.4f} A")
        return 0

    def _correct(self, device: EpicsDevice, controller: Controller) -> int:
        machine, target = device.machine, device.target_m
        device.arm()
        print(f"snapshot: {machine.folder / 'snapshot.json'}")
        if self.panel:
            machine.operator.status("waiting for Start")
            while not machine.operator.started():
                machine.rest(0.2)
            machine.operator.status("correcting")
        controller.arm()
        orbits: list[np.ndarray] = []
        best, best_a = np.inf, machine.setpoint_a.copy()
        for step in range(self.steps + 1):
            samples = device.read()
            orbits.append(np.asarray(samples["bpm_position"][0]))
            rms = _rms(orbits[-1] - target)
            if rms < best:
                best, best_a = rms, machine.setpoint_a.copy()
            _say(f"after {step:3d} moves: RMS {PER_MM * rms:.3f} mm")
            if step < self.steps:
                controller.applied(device.write(_tick(device, controller, samples)))
        if rms > WORSE * best:
            print(f"going back to the best seen, {PER_MM * best:.3f} mm")
            while (machine.setpoint_a != best_a).any():
                machine.move(machine.limited(best_a), "best seen")
            orbits.append(np.asarray(device.read()["bpm_position"][0]))
        _print_orbit(device, {"before": orbits[0], "after": orbits[-1]})
        return 0

    def _restore(self, folder: Path) -> int:
        from robostack_real.devices.epics.machine import BeamMachine
        from robostack_real.devices.epics.machine_file import MachineFile
        from robostack_real.devices.epics.snapshot import Snapshot, changed_by_others

        assert self.restore is not None and self.config is not None
        file = MachineFile.read(self.config)
        snapshot = Snapshot.read(self.restore, file)
        pvs = [c.setpoint for c in file.correctors]
        machine = BeamMachine(file, folder)
        with machine, _stopped_by_signals(machine):
            changed = changed_by_others(self.restore, pvs, machine.setpoint_a, file.timing.setpoint_tolerance_a)
            target = machine.setpoint_a.copy()
            for i, pv in enumerate(pvs):
                if pv in changed and not self.restore_changed:
                    print(f"  {pv:<28} {target[i]:9.4f} A: someone else changed it; left alone (--restore-changed)")
                    continue
                print(f"  {pv:<28} {target[i]:9.4f} -> {snapshot.setpoint_a[pv]:9.4f} A")
                target[i] = snapshot.setpoint_a[pv]
            if not self.live:
                print("dry run: nothing was put; --live acts")
                return 0
            return _held(machine, lambda: _ramp_back(machine, target))


def _ramp_back(machine: BeamMachine, target_a: np.ndarray) -> int:
    machine.begin(restoring=True)
    machine.operator.status("restoring")
    machine.move(target_a, "restore")
    print("restored")
    machine.release("restored")
    return 0


def _held(machine: BeamMachine, act: Callable[[], int]) -> int:
    """Does it; on a Hold, or any failure, says why, verifies what stands, and gives the machine back."""
    from robostack_real.devices.epics.channel_access import Hold

    try:
        return act()
    except ContractError:
        raise
    except Hold as reason:
        if not machine.began:
            raise ContractError(f"{reason}; nothing was put") from reason
        why = str(reason)
    except Exception as error:
        why = machine.asked_to_stop or f"{type(error).__name__}: {error}"
    machine.log.say("hold", why=why)
    _say(f"HOLD: {why}")
    verified = machine.verify(lambda line: _say(f"  {line}"))
    stands = (
        "verified: every setpoint stands where we left it" if verified else "NOT all stands as we left it, see above"
    )
    _say(f"setpoints are held, nothing more is put; {stands}")
    if (machine.folder / "snapshot.json").exists():
        _say(f"the way back, when the machine is sound: --restore {machine.folder / 'snapshot.json'} --live")
    machine.release(f"HOLD: {why}")
    return HELD if verified else HELD_BLIND


def _say(line: str) -> None:
    """Where somebody still reads it: a terminal or a pipe that is gone must not keep us from verifying."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tick(device: EpicsDevice, controller: Controller, samples: Any) -> np.ndarray:
    """What the policy's envelope lets through. Raises Hold when it trips."""
    from robostack_real.devices.epics.channel_access import Hold

    names = {c.name for c in controller.spec.observations}
    told = {"target_orbit": (device.target_m, 0.0)} if "target_orbit" in names else {}
    action = controller.tick({**samples, **told})
    if controller.status.tripped:
        status = controller.status
        raise Hold(f"the policy's envelope tripped: {status.reason.name.lower()} {status.channel or ''}".rstrip())
    return action


def _print_orbit(device: EpicsDevice, columns: dict[str, np.ndarray]) -> None:
    names = device.machine.file.readings
    print(f"{'orbit, mm':<16}" + "".join(f"{c:>10}" for c in columns))
    for i, name in enumerate(names):
        print(f"{name:<16}" + "".join(f"{PER_MM * orbit[i]:10.3f}" for orbit in columns.values()))
    print(f"{'RMS to target':<16}" + "".join(f"{PER_MM * _rms(o - device.target_m):10.3f}" for o in columns.values()))


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


@contextlib.contextmanager
def _stopped_by_signals(machine: BeamMachine) -> Iterator[None]:
    """Ctrl-C, SIGTERM (a service manager) and SIGHUP (the terminal is gone, and no nohup) hold the machine."""
    kinds = [signal.SIGINT, signal.SIGTERM]
    kinds += [signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)
    before = [signal.signal(kind, lambda n, _: machine.stop(f"{signal.Signals(n).name} was sent")) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler if handler is not None else signal.SIG_DFL)
