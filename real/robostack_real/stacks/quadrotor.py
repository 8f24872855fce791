"""The quadrotor stack: a machine, the policy that commands it, what it shall follow, and who watches."""

from __future__ import annotations

from robostack.spec import ContractError
from robostack_real.stacks.stack import NodeDescription, Request, Stack


def describe(request: Request) -> tuple[NodeDescription, ...]:
    policy = {"policy": str(request.policy)}
    if request.require_signature:
        policy["require_signature"] = request.require_signature
    step, uri = {"lockstep": request.lockstep}, "sim://hover"
    view = (NodeDescription("view", {**policy, "port": request.view_port}),) if request.view_port else ()
    if request.policy_on == "host" and request.target == "crazyflie":
        raise ContractError("policy_on host: a Crazyflie flies the policy that it carries")
    if request.target == "board" and request.policy_on == "board":
        machine: tuple[NodeDescription, ...] = (
            NodeDescription("board", {**policy, "device": "sim://hover"}, request.fifo),
        )
    elif request.target == "crazyflie":
        switch = {"dead_man": request.dead_man} if request.dead_man else {}
        parameters = {**policy, "device": request.uri, **switch}
        machine = (NodeDescription("host", parameters),)
    else:
        if request.target == "board":
            step, uri = {"lockstep": False}, "board://auto/hover"  # a board keeps its own time
        machine = (
            NodeDescription("sim", {**policy, **step, "device": uri}, request.fifo),
            NodeDescription("policy", {**policy, **step}, request.fifo),
        )
    return (
        *view,
        *machine,
        NodeDescription("setpoint", {**policy, "trajectory": request.trajectory}),
        NodeDescription("supervisor", {"autostart": request.start}, request.fifo),
    )


quadrotor = Stack(
    "quadrotor",
    ("sim", "board", "crazyflie"),
    ("trajectory", "lockstep", "uri", "dead_man", "policy_on"),
    describe,
)
