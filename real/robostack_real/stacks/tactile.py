"""The tactile stack: an arm that holds a pose by Cartesian impedance and feels by its pads, the policy that moves the
pose on, the place that it is told, and who watches."""

from __future__ import annotations

from robostack.spec import ContractError
from robostack_real.stacks.stack import NodeDescription, Request, Stack, Value

TOLD_HZ = 2.0
"""how often the place is told, to whom comes late"""
ARM = "arm://arm_twin"
"""what `robostack twin arm` is called"""
ANSWER_S = 0.25
"""how old an action may be: each is a change that is made once, and until the next the arm holds its pose"""
PLACE = "place_0=0.5,place_1=0.0"
"""in front of the arm, on the table; a file of parameters says another one"""


def describe(request: Request) -> tuple[NodeDescription, ...]:
    policy = {"policy": str(request.policy)}
    if request.require_signature:
        policy["require_signature"] = request.require_signature
    view = (NodeDescription("view", {**policy, "port": request.view_port}),) if request.view_port else ()
    patient: dict[str, Value] = {**policy, "action_max_age_s": ANSWER_S}
    if request.target == "sim":
        step = {"lockstep": request.lockstep}
        arm = NodeDescription("sim", {**patient, **step, "device": "sim://grip_00"}, request.fifo)
    else:
        if request.lockstep:
            raise ContractError("lockstep: an arm keeps its own time; leave it out")
        uri = request.uri if request.uri != Request.uri else ARM
        arm = NodeDescription("device", {**patient, "device": uri}, request.fifo)
    return (
        *view,
        arm,
        NodeDescription("policy", {**policy, "changes": True}, request.fifo),
        NodeDescription("setpoint", {**policy, "constant": PLACE, "rate_hz": TOLD_HZ}),
        NodeDescription("supervisor", {"autostart": request.start}, request.fifo),
    )


tactile = Stack("tactile", ("sim", "arm"), ("lockstep", "uri"), describe)
