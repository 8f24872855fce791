"""The quadrotor stack: a machine, the policy that commands it, what it shall follow, and who watches."""

from __future__ import annotations

from robostack_real.stacks.stack import NodeDescription, Request, Stack


def describe(request: Request) -> tuple[NodeDescription, ...]:
    policy = {"policy": str(request.policy)}
    if request.require_signature:
        policy["require_signature"] = request.require_signature
    step = {"lockstep": request.lockstep}
    view = (NodeDescription("view", {**policy, "port": request.view_port}),) if request.view_port else ()
    if request.target == "board":
        machine: tuple[NodeDescription, ...] = (
            NodeDescription("board", {**policy, "device": "sim://hover"}, request.fifo),
        )
    elif request.target == "crazyflie":
        switch = {"dead_man": request.dead_man} if request.dead_man else {}
        parameters = {**policy, "device": request.uri, **switch}
        machine = (NodeDescription("host", parameters),)
    else:
        machine = (
            NodeDescription("sim", {**policy, **step, "device": "sim://hover"}, request.fifo),
            NodeDescription("policy", {**policy, **step}, request.fifo),
        )
    return (
        *view,
        *machine,
        NodeDescription("setpoint", {**policy, "trajectory": request.trajectory}),
        NodeDescription("supervisor", {"autostart": request.start}, request.fifo),
    )


quadrotor = Stack("quadrotor", ("sim", "board", "crazyflie"), describe)
