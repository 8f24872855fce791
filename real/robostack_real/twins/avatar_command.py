"""`robostack avatar`: recorded motions, and headsets that drive characters"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from robostack.commands.answer import answer
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack_real.headset.poses import Headset
    from robostack_real.twins.avatar import LiveAvatar
    from robostack_real.twins.avatar_view import AvatarView
    from robostack_sim.avatar.motion.clip import Clip

RATE_HZ = 72.0
FILM_HZ = 18.0
VIEW_HZ = 30.0
LONGEST_PERIODS = 1.5
"""that a headset's frame is waited for"""


@dataclass(frozen=True)
class Clips:
    """List recorded motions: how long, how planted, what does not fit; with a sheet of stick figures.

    Reads AMC (with its ASF beside), BVH, DeepMimic's text and our own .npz.

    Example: robostack avatar clips ~/mocap --sheet clips.html
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder or file."""
    sheet: Path | None = None
    """Page of stick figures to write."""
    parts: Path | None = None
    """File of lines such as  left_hand = ["Paw.L"]  for skeletons whose names are not known."""
    json: bool = False
    """Print what a script can read."""

    def run(self) -> int:
        from robostack_sim.avatar.motion.reading import read_all
        from robostack_sim.avatar.motion.sheet import described, sheet

        clips = list(read_all(self.folder))
        rows = [described(c, self.parts) for c in clips]
        if self.json:
            answer(rows)
        else:
            from rich.console import Console
            from rich.table import Table

            table = Table("clip", "s", "Hz", "joints", "feet stand", "skate", "")
            for r in rows:
                stands = "–" if r["stands"] is None else f"{100 * r['stands']:.0f} %"
                skate = "–" if r["skate_m_s"] is None else f"{100 * r['skate_m_s']:.1f} cm/s"
                table.add_row(
                    r["clip"],
                    f"{r['duration_s']:.1f}",
                    f"{r['rate_hz']:g}",
                    str(r["joints"]),
                    stands,
                    skate,
                    r["misses"],
                )
            Console().print(table)
        if self.sheet is not None:
            self.sheet.write_text(sheet(clips, self.parts), encoding="utf-8")
            print(f"stick figures: {self.sheet}")
        return 0


@dataclass(frozen=True)
class Retarget:
    """Lead characters through a recorded motion by inverse kinematics, head, hands and feet; measure it, film it.

    Example: robostack avatar retarget punch --film punch.gif
    Example: robostack avatar retarget 02_05.amc --characters dinosaur
    """

    clip: Annotated[str, tyro.conf.Positional]
    """A motion file, or one that comes along (punch)."""
    characters: tuple[str, ...] = ("human", "mouse", "dinosaur")
    """Of ours, or folders of yours with a character.toml."""
    parts: Path | None = None
    """File of lines such as  left_hand = ["Paw.L"]  for skeletons whose names are not known."""
    film: Path | None = None
    """GIF to write, the person beside the characters."""
    seconds: float = 10.0
    """How much of it is filmed."""
    json: bool = False
    """Print what a script can read."""

    def run(self) -> int:
        from rich.progress import track

        from robostack_sim.avatar.character import Character
        from robostack_sim.avatar.motion.reading import named
        from robostack_sim.avatar.reference import Reference
        from robostack_sim.avatar.retargeted import retargeted

        reference = Reference(named(self.clip), RATE_HZ, self.parts)
        characters = [Character.load(name) for name in self.characters]
        steps = track(characters, f"{len(reference)} frames each", disable=self.json)
        results = [retargeted(character, reference) for character in steps]
        figures = {c.name: r.figures(c) for c, r in zip(characters, results, strict=True)}
        if self.json:
            answer({"clip": reference.clip.name, "characters": figures})
        else:
            _print(reference.clip.name, figures)
        if self.film is not None:
            poses = [(c, r.qpos) for c, r in zip(characters, results, strict=True)]
            _film(self.film, poses, reference.clip, self.seconds)
        return 0


@dataclass(frozen=True)
class Live:
    """Drive a character by a headset and two controllers, now.

    Stand in a T for a second to begin. What falls silent is held, then stands. Bones go out by the VMC protocol.

    Example: robostack avatar live --character dinosaur --input vmc
    Example: robostack avatar live --character human --input punch --seconds 10
    Example: robostack avatar live --input ros --remap xr_teleop/head_pose:=/hmd/pose --axes openxr
    """

    character: str = "human"
    """human, mouse, dinosaur, or a folder of yours with a character.toml."""
    input: str = "vmc"
    """webxr (a page for the headset's own browser), vmc (a UDP port for ALVR, VirtualMotionCapture and others), ros
    (PoseStamped or TF), or what is played: a motion (a file, or punch, which comes along), or a stream that was kept by
    --record."""
    host: str = "127.0.0.1"
    """Address to listen at: this machine's own where the headset is on the network. WebXR then needs HTTPS; a
    certificate is made, which the headset's browser has to accept once."""
    port: int | None = None
    """Default: 39540 (UDP) for vmc, 8443 for webxr."""
    left: str = ""
    """Serial number of the left controller, for vmc senders that do not name hands."""
    right: str = ""
    """Serial number of the right controller."""
    remap: tuple[str, ...] = ()
    """ROS names, each as FROM:=TO; the topics are xr_teleop/head_pose, left_hand_pose and right_hand_pose."""
    frames: tuple[str, str, str, str] = ("world_frame", "head_frame", "left_wrist_frame", "right_wrist_frame")
    """TF frames of the room, head, left and right hand."""
    axes: Literal["ros", "openxr"] = "ros"
    """Of ROS senders: x ahead and z up, or those of a headset passed on, -z ahead and y up."""
    parts: Path | None = None
    """File of lines such as  left_hand = ["Paw.L"]  for a played skeleton whose names are not known."""
    record: Path | None = None
    """File (.npz) to keep what the headset sends in, to be played by --input."""
    send: str = "127.0.0.1:39539"
    """HOST:PORT of who renders the bones; empty: nobody."""
    view: int = 8080
    """Port of a web page that shows it, on --host; 0: none."""
    rate_hz: float = RATE_HZ
    """Frames a second that the headset sends; while it is silent, periods come a little slower."""
    seconds: float | None = None
    """Default: until Ctrl-C, or the end of what is played."""
    fifo: int = 0
    """SCHED_FIFO priority, against other programs' load; 0 for none."""
    policy: str | None = None
    """A policy.onnx of the task avatar, which keeps the character on its feet in simulated physics; `own`, the one in
    the character's folder; `none`, inverse kinematics alone. Default: its own where it has one."""
    root: Path = Path("logs")
    """Folder where the certificate is kept."""
    json: bool = False
    """Print the timing so that a script can read it."""

    def run(self) -> int:
        from robostack.runtime import loop
        from robostack_real.headset.vmc import VmcSender
        from robostack_real.nodes.realtime import schedule
        from robostack_real.twins.avatar import LiveAvatar
        from robostack_real.twins.avatar_body import LiveBody
        from robostack_sim.avatar.character import Character

        if not 1.0 <= self.rate_hz <= 1000.0:
            raise ContractError(f"--rate-hz {self.rate_hz:g}: must lie in [1, 1000]")
        if self.record and not (self.record.suffix == ".npz" and self.record.parent.is_dir()):
            raise ContractError(f"--record {self.record}: give a file that ends in .npz, in a folder that is there")
        if self.record and self.record.exists():
            raise ContractError(f"--record {self.record}: is there already; give another name")
        if not 0 <= self.fifo <= 98:
            raise ContractError(f"--fifo {self.fifo}: must lie in [0, 98]")
        if lacking := schedule(self.fifo):  # before any thread is started: they inherit it
            print(lacking, flush=True)
        character = Character.load(self.character)
        host, _, port = self.send.rpartition(":")
        if self.send and not (host and port.isdigit()):
            raise ContractError(f"--send {self.send!r}: give HOST:PORT, or nothing")
        sender = VmcSender(host, int(port)) if self.send else None
        if body := LiveBody.by(character, self.policy):
            print(f"in simulated physics, on its feet by {body.by_what}", flush=True)
        with self._headset() as (headset, calibration):
            avatar = LiveAvatar(character, headset, sender, calibration, body)
            view = self._view(avatar)
            told, shown_s = [""], [0.0]

            def tick(missed: int) -> None:
                avatar.follow(LONGEST_PERIODS / self.rate_hz)
                for line in [*headset.told(), avatar.waits_for.partition(" for ")[0]]:
                    if line and line != told[0]:
                        told[0] = line
                        print(line, flush=True)
                if view and time.monotonic() - shown_s[0] > 1.0 / VIEW_HZ:
                    shown_s[0] = time.monotonic()
                    view.show(avatar.qpos, avatar.targets, avatar.waits_for, avatar.wearer_bones_m)
                if getattr(headset, "over", False) or time.monotonic() > end_s:
                    raise loop.Stop

            gc.collect()
            gc.freeze()  # what is loaded by now is not looked through again in the middle of a motion
            headset.wait(0.0)  # what came until now is late
            end_s = time.monotonic() + (float("inf") if self.seconds is None else self.seconds)
            timing = loop.Timing(1.0 / self.rate_hz)
            # the headset paces it, or its silence: to the loop every period is due
            loop.run(tick, timing.dt_s, stop=lambda: None, timing=timing, clock=lambda: timing.ticks * timing.dt_s)
            if view:
                view.close()
        if sender is not None:
            sender.close()
        self._report(avatar)
        return 0

    def _view(self, avatar: LiveAvatar) -> AvatarView | None:
        if not self.view:
            return None
        from robostack_real.twins.avatar_view import AvatarView

        view = AvatarView(avatar.character, avatar.recalibrate, host=self.host, port=self.view)
        print(f"see it at {view.where}", flush=True)
        return view

    @contextmanager
    def _headset(self) -> Iterator[tuple[Headset, Any]]:
        from robostack_real.headset.played import HeadsetRecorder, PlayedHeadset, is_stream
        from robostack_sim.avatar.motion.reading import named
        from robostack_sim.avatar.reference import worn

        if self.input in ("vmc", "webxr", "ros"):
            with self._listening() as headset:
                print(f"waiting for a headset at {headset.where}", flush=True)
                keeping: AbstractContextManager[Headset] = nullcontext(headset)
                with HeadsetRecorder(headset, self.record) if self.record else keeping as kept:
                    yield kept, None
            return
        if self.record:
            raise ContractError(f"--record: {self.input} is a recording already")
        if is_stream(Path(self.input)):
            with PlayedHeadset.load(Path(self.input)) as headset:
                yield headset, None
            return
        tracked, calibration = worn(named(self.input), self.rate_hz, parts=self.parts)
        played = PlayedHeadset(self.input, tracked.time_s, tracked.position_m, tracked.rotation, tracked.seen)
        with played as headset:
            yield headset, calibration

    def _listening(self) -> Headset:
        if self.input == "vmc":
            from robostack_real.headset.vmc import PERFORMER_PORT, VmcHeadset

            return VmcHeadset(self.port or PERFORMER_PORT, left=self.left, right=self.right, host=self.host)
        if self.input == "ros":
            from robostack_real.headset.ros import RosHeadset

            return RosHeadset(remap=self.remap, frames=self.frames, axes=self.axes)
        from robostack_real.headset.webxr import PORT, WebXrHeadset

        return WebXrHeadset(self.host, self.port or PORT, self.root / "webxr.pem")

    def _report(self, avatar: LiveAvatar) -> None:
        if not avatar.timing.rows:
            return
        falls = {"falls": avatar.body.falls} if avatar.body else {}
        found = {f"p{p:g}": avatar.timing.percentile_s(p) for p in (50.0, 99.0)}
        if self.json:
            answer({"periods": len(avatar.timing.rows), "dropped": avatar.dropped, **falls, **found})
            return
        for name, count in falls.items():
            print(f"{name}: {count}")
        for name, stages in found.items():
            print(f"{name}: " + ", ".join(f"{stage} {1e3 * s:.2f} ms" for stage, s in stages.items()))
        print(f"{len(avatar.timing.rows)} periods, {avatar.dropped} frames passed over")


@dataclass(frozen=True)
class Evaluate:
    """Ask a policy stretches of motions, every second one pushed: standing to the end, head and hands off.

    Five seconds each, flown by the file itself in ONNX Runtime behind its envelope; leave out what it was trained on.
    The figures lie beside the file then, as .json, with those of a few stretches of the motion that comes along, for
    anybody to fly again.

    Example: robostack avatar evaluate logs/avatar/latest --clips ~/mocap --without 02_05
    """

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = "avatar"
    """A policy.onnx, or a run folder. Default: the newest run of task avatar."""
    clips: tuple[str, ...] = ("punch",)
    """Recorded motions: files, folders, or punch, which comes along."""
    without: tuple[str, ...] = ()
    """Motions, by name, that are left out: those it was trained on."""
    episodes: int = 128
    """How many stretches."""
    seed: int = 0
    """Of where the pushes go."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        if self.episodes < 2:
            raise ContractError(f"--episodes {self.episodes}: must be 2 at least, one of them pushed")
        from robostack import machine
        from robostack.export.onnx import load_policy
        from robostack.run_folder import RunFolder, to_json, write_atomic

        path = RunFolder.find_policy(self.policy, self.root)
        policy = load_policy(path)  # a file that is no policy is refused before torch is loaded
        from robostack_sim.avatar.judged import evaluated

        found = evaluated(policy, self.clips, self.without, self.episodes, self.seed)
        asked = f"robostack avatar evaluate {path.name} --clips {' '.join(self.clips)}"
        asked += f" --without {' '.join(self.without)}" * bool(self.without)
        asked += f" --episodes {self.episodes} --seed {self.seed}"
        kept = {**found, "command": asked, "date": time.strftime("%Y-%m-%d"), "machine": machine.describe()}
        write_atomic(path.with_suffix(".json"), to_json(kept))
        if self.json:
            answer(kept)
            return 0
        for what, unit in (("stands", "%"), ("pushed", "%"), ("head_cm", "cm"), ("hands_cm", "cm")):
            print(f"{what.removesuffix('_cm'):>8} {found[what]:6.1f} {unit}")
        print(f"of {', '.join(found['clips'])}; kept in {path.with_suffix('.json')}")
        return 0


Command = (
    Annotated[Clips, tyro.conf.subcommand("clips")]
    | Annotated[Retarget, tyro.conf.subcommand("retarget")]
    | Annotated[Live, tyro.conf.subcommand("live")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
)


def _print(clip: str, figures: dict[str, dict[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(clip, *figures)
    for name in next(iter(figures.values())):
        table.add_row(name, *(f"{found[name]:.3g}" for found in figures.values()))
    Console().print(table)


def _film(path: Path, poses: list[tuple[Any, np.ndarray]], clip: Clip, seconds: float) -> None:
    import mujoco
    from rich.progress import track

    from robostack_sim.avatar.film import Camera, beside, picture, save_gif, stick_figure

    step = max(1, round(clip.rate_hz / FILM_HZ))
    cameras = [Camera.of(float(c.rest_m["head"][2])) for c, _ in poses]
    datas = [mujoco.MjData(c.model) for c, _ in poses]
    frames = []
    for k in track(range(0, min(len(clip), round(seconds * clip.rate_hz)), step), f"film {path.name}"):
        row = [stick_figure(clip.skeleton, clip.position_m[k], Camera.of(1.6))]
        for (character, qpos), camera, data in zip(poses, cameras, datas, strict=True):
            data.qpos[:] = qpos[k]
            mujoco.mj_kinematics(character.model, data)
            row.append(picture(character.model, data, camera))
        frames.append(beside(row))
    save_gif(path, frames, clip.rate_hz / step)
    print(f"film: {path}, {len(frames)} frames")
