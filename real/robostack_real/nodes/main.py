"""A node as a process: `ros2 run robostack policy_node --ros-args -p policy:=policy.onnx`.

`python -m robostack_real.nodes.main policy ...` is the same without a ROS install. Before `--ros-args` may stand
`--fifo N`, SCHED_FIFO at priority N and locked memory, and `--with-parent`: it ends as by Ctrl-C when its parent has
died. Exit status 1: it could not be configured, and says why.
"""

from __future__ import annotations

import importlib
import signal
import sys

from robostack.registry import MissingExtraError
from robostack_real.nodes import wire
from robostack_real.nodes.realtime import end_with_parent, schedule

ROLES = {"policy": "PolicyNode", "device": "DeviceNode", "sim": "SimNode", "setpoint": "SetpointNode",
         "supervisor": "SupervisorNode", "view": "ViewNode", "board": "BoardNode", "host": "HostNode",
         "headset": "HeadsetNode", "avatar": "AvatarNode"}  # fmt: skip


def run(role: str, args: list[str]) -> int:
    """Until Ctrl-C or SIGTERM."""
    rclpy = wire.ros()
    if "--with-parent" in args:
        end_with_parent()
    fifo = int(args[args.index("--fifo") + 1]) if "--fifo" in args else 0
    lacking = schedule(fifo)  # before rclpy.init: threads of DDS inherit it
    from rclpy.experimental.events_executor import EventsExecutor
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=["robostack", *args], signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    from rclpy.exceptions import ParameterException

    try:
        node = getattr(importlib.import_module(f"robostack_real.nodes.{role}_node"), ROLES[role])()
        if lacking:
            node.get_logger().warning(lacking)
        if not node.start():
            return 1
        executor = EventsExecutor()
        executor.add_node(node)
        node.spin(executor)
        node.destroy_node()
    except ParameterException as error:
        print(f"{role}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while it came up
        return 130
    finally:
        rclpy.try_shutdown()
    return 0


def node(role: str) -> int:
    """Exit status of an executable; says on standard error what it lacks."""
    try:
        return run(role, sys.argv[1:])
    except MissingExtraError as error:
        print(f"{role}_node: {error}", file=sys.stderr)
        return 1


def policy() -> int:
    return node("policy")


def device() -> int:
    return node("device")


def sim() -> int:
    return node("sim")


def setpoint() -> int:
    return node("setpoint")


def supervisor() -> int:
    return node("supervisor")


def view() -> int:
    return node("view")


def board() -> int:
    return node("board")


def host() -> int:
    return node("host")


def headset() -> int:
    return node("headset")


def avatar() -> int:
    return node("avatar")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ROLES:
        raise SystemExit(f"{__doc__}\nroles: {' '.join(ROLES)}")
    raise SystemExit(node(sys.argv.pop(1)))
