"""The avatar stack: a character that is led, and where nobody wears a headset a recorded motion in their place."""

from __future__ import annotations

from robostack.spec import ContractError
from robostack_real.stacks.stack import NodeDescription, Request, Stack, Value


def describe(request: Request) -> tuple[NodeDescription, ...]:
    if not request.start:
        raise ContractError("start: an avatar is not armed; leave it out")
    policy: dict[str, Value] = {"policy": str(request.policy)} if request.policy else {}
    if request.require_signature:
        policy["require_signature"] = request.require_signature
    led: dict[str, Value] = {"character": request.character, **policy, "port": request.view_port}
    played = (NodeDescription("headset", {"clip": request.clip}),) if request.clip else ()
    return NodeDescription("avatar", led, request.fifo), *played


avatar = Stack("avatar", ("sim",), ("character", "clip"), describe, own_policy=True)
