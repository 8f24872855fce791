"""The beam stack: a machine whose orbit is corrected, the policy that does, its golden orbit, and who watches."""

from __future__ import annotations

from robostack.spec import ContractError
from robostack_real.devices.epics.machine_file import MachineFile
from robostack_real.stacks.stack import NodeDescription, Request, Stack

TOLD_HZ = 2.0
"""how often the golden orbit is told, to whom comes late"""


def describe(request: Request) -> tuple[NodeDescription, ...]:
    policy = {"policy": str(request.policy)}
    if request.require_signature:
        policy["require_signature"] = request.require_signature
    target_m = MachineFile.read(request.config).target_m if request.config else {}
    golden = {"constant": ",".join(f"{r}={value!r}" for r, value in target_m.items())} if target_m else {}
    view = (NodeDescription("view", {**policy, "port": request.view_port}),) if request.view_port else ()
    if request.target == "sim":
        if request.live:
            raise ContractError("live: a simulated machine is no live one; leave it out, or target epics")
        step, start = {"lockstep": request.lockstep}, request.start
        machine = NodeDescription("sim", {**policy, **step, "device": "sim://machine_00"}, request.fifo)
    else:
        if not request.config:
            raise ContractError("config: a machine over EPICS needs its file, machine.toml (docs/epics.md)")
        if request.lockstep:
            raise ContractError("lockstep: a machine over EPICS keeps its own time; leave it out")
        uri, start = f"epics://{request.config}{'?live' * request.live}", request.start and request.live
        machine = NodeDescription("device", {**policy, "device": uri}, request.fifo)
    return (
        *view,
        machine,
        NodeDescription("policy", {**policy, "changes": True}, request.fifo),
        NodeDescription("setpoint", {**policy, **golden, "rate_hz": TOLD_HZ}),
        NodeDescription("supervisor", {"autostart": start}, request.fifo),
    )


beam = Stack("beam", ("sim", "epics"), ("lockstep", "config", "live"), describe)
