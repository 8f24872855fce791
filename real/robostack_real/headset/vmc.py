"""The VMC protocol: poses as OSC messages over UDP (https://protocol.vmc.info), in and out.

In: a headset and controllers (`/VMC/Ext/Hmd|Con|Tra/Pos`, by serial number), or the bones Head, LeftHand and RightHand
(`/VMC/Ext/Bone/Pos`): of a sender that sends these alone they are poses in the room (ALVR), of one that sends the hips
as well they are each in its parent's frame. Out: a root and bones, for whatever renders a character.
Unity's axes on the wire: y up, z ahead, x right, left-handed; quaternions x y z w.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Self

import numpy as np
from pythonosc.osc_packet import OscPacket, ParseError

from robostack import quaternion as quat
from robostack.axes import from_unity, to_unity
from robostack_real.headset.poses import Listening, Pose

PERFORMER_PORT, RENDERER_PORT = 39540, 39539
"""who tracks sends to the first, who animates to the second"""
SILENT_S = 1.0
"""of a sender, after which another may take over"""
HANDS = ("left_hand", "right_hand")
BONES = {"Head": "head", "LeftHand": "left_hand", "RightHand": "right_hand"}
PARENTS = {
    "Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest", "Head": "Neck",
    **{f"{s}{bone}": f"{s}{parent}" if parent != "UpperChest" else parent
       for s in ("Left", "Right")
       for bone, parent in (("Shoulder", "UpperChest"), ("UpperArm", "Shoulder"), ("LowerArm", "UpperArm"),
                            ("Hand", "LowerArm"))},
}  # fmt: skip
"""of Unity's HumanBodyBones, as far as head and hands need; one that is not sent is passed over"""


class VmcHeadset(Listening):
    """Listens at a UDP port of this machine. `left` and `right` are serial numbers of controllers or trackers; without
    them the two that come are told apart by which side of the head they are on when both were first seen."""

    def __init__(self, port: int = PERFORMER_PORT, *, left: str = "", right: str = "", host: str = "127.0.0.1") -> None:
        self.where = f"vmc://{host}:{port}"
        self._at = (host, port)
        self._serials = {s: hand for s, hand in ((left, "left_hand"), (right, "right_hand")) if s}
        self._waiting: dict[str, np.ndarray] = {}
        self._bones: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._sender: tuple[Any, float] | None = None
        super().__init__()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(self._at)
        except OSError as error:
            self._socket.close()
            raise ConnectionError(
                f"{self.where}: {error.strerror}; another program listens there already, or choose another port"
            ) from error
        self._socket.settimeout(0.1)
        self._running = threading.Event()
        self._running.set()
        self._thread = threading.Thread(target=self._serve, name="VMC", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._running.clear()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while self._running.is_set():
            try:
                data, sender = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            if self._theirs(sender):
                self.hear(data)

    def _theirs(self, sender: Any) -> bool:
        """One sender at a time."""
        now = time.monotonic()
        if self._sender is not None and sender != self._sender[0] and now - self._sender[1] < SILENT_S:
            self._newest.say(f"{sender[0]}:{sender[1]} sends too; {self._sender[0][0]}:{self._sender[0][1]} was first")
            return False
        self._sender = sender, now
        return True

    def hear(self, data: bytes) -> None:
        """One datagram."""
        try:
            messages = [timed.message for timed in OscPacket(data).messages]
        except (ParseError, ValueError, IndexError) as error:
            self._newest.say(f"not OSC: {error}")
            return
        bones = False
        for message in messages:
            kind, words = message.address.removeprefix("/VMC/Ext/").split("/")[0], message.params
            if kind not in ("Hmd", "Con", "Tra", "Bone") or len(words) < 8 or not isinstance(words[0], str):
                continue
            try:
                numbers = np.array(words[1:8], float)
            except (TypeError, ValueError):
                self._newest.say(f"{message.address}: numbers should follow the name")
                continue
            position, rotation = from_unity(numbers[:3]), from_unity(numbers[[6, 3, 4, 5]])
            if kind == "Hmd":
                self._newest.put("head", position, rotation)
            elif kind == "Bone":
                self._bones[words[0]] = position, rotation
                bones |= words[0] in BONES
            else:
                self._controller(words[0], position, rotation)
        if bones:
            self._skeleton()

    def _controller(self, serial: str, position: np.ndarray, rotation: np.ndarray) -> None:
        if serial not in self._serials and len(self._serials) < 2:
            self._waiting[serial] = position
            head = self._newest.read().get("head")
            if len(self._waiting) >= 2 and head is not None:
                self._tell_apart(head)
        if serial in self._serials:
            self._newest.put(self._serials[serial], position, rotation)

    def _tell_apart(self, head: Pose) -> None:
        """The two farthest to either side of where the head looks."""
        yaw = float(quat.yaw(head.rotation))
        left = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        order = sorted(self._waiting, key=lambda s: float((self._waiting[s] - head.position_m) @ left))
        self._serials = {order[-1]: "left_hand", order[0]: "right_hand"}
        self._newest.say(f"{order[-1]} is taken to be the left hand, {order[0]} the right one")

    def _skeleton(self) -> None:
        for bone, part in BONES.items():
            if bone in self._bones:
                self._newest.put(part, *self._world(bone))

    def _world(self, bone: str) -> tuple[np.ndarray, np.ndarray]:
        position, rotation = self._bones[bone]
        if "Hips" not in self._bones:
            return position, rotation
        while bone in PARENTS:
            bone = PARENTS[bone]
            if bone in self._bones:
                offset, turn = self._bones[bone]
                position = offset + quat.rotate(turn, position)
                rotation = quat.multiply(turn, rotation)
        return position, rotation


class VmcSender:
    """Sends a character's root and bones to whoever renders it."""

    def __init__(self, host: str = "127.0.0.1", port: int = RENDERER_PORT) -> None:
        self._to = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._began = time.monotonic()

    def send(self, root: tuple[np.ndarray, np.ndarray], bones: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """`root` in the world, `bones` by HumanBodyBones name, each position (3,) and rotation (4,) in its parent's
        frame; ours. A renderer that is not there is no error."""
        poses = [root, *bones.values()]
        place, turn = to_unity(np.array([p for p, _ in poses])), to_unity(np.array([q for _, q in poses]))
        numbers = np.concatenate([place, turn[:, [1, 2, 3, 0]]], axis=1).astype(">f4")
        heads = [_named("/VMC/Ext/Root/Pos", "root"), *(_named("/VMC/Ext/Bone/Pos", name) for name in bones)]
        messages = [_OK, _TIME + struct.pack(">f", time.monotonic() - self._began)]
        messages += [head + row.tobytes() for head, row in zip(heads, numbers, strict=True)]
        bundle = b"".join([_BUNDLE, *(struct.pack(">i", len(m)) + m for m in messages)])
        with suppress(ConnectionRefusedError):
            self._socket.sendto(bundle, self._to)

    def close(self) -> None:
        self._socket.close()


# OSC 1.0: texts end with a zero and fill up to four bytes, a message is its address, the types behind it, and these
def _text(word: str) -> bytes:
    data = word.encode() + b"\0"
    return data + bytes(-len(data) % 4)


@cache
def _named(address: str, name: str) -> bytes:
    """A message's beginning: a name, before seven numbers."""
    return _text(address) + _text(",sfffffff") + _text(name)


_BUNDLE = b"#bundle\0" + struct.pack(">Q", 1)
"""its time: at once"""
_OK = _text("/VMC/Ext/OK") + _text(",i") + struct.pack(">i", 1)
_TIME = _text("/VMC/Ext/T") + _text(",f")
