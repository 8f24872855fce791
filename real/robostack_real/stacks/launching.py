"""A stack's description in the words of launch files, so that these stay thin. Needs neither launch nor ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robostack_real.stacks.processes import DEFAULTS
from robostack_real.stacks.stack import Request, Stack


def arguments(stack: Stack) -> dict[str, dict[str, Any]]:
    """Launch arguments by name, as `DeclareLaunchArgument` takes them."""
    return {
        "policy": {"description": "path of the policy.onnx"},
        "target": {"default_value": "sim", "description": "what is commanded", "choices": list(stack.targets)},
        "trajectory": {"default_value": "hover", "choices": ["hover", "figure_eight"]},
        "start": {"default_value": "true", "description": "arm as soon as all is well", "choices": ["true", "false"]},
        "lockstep": {"default_value": "false", "choices": ["true", "false"]},
        "fifo": {"default_value": "0", "description": "SCHED_FIFO priority of the control nodes; 0 for none"},
        "uri": {"default_value": "udp://127.0.0.1:19850", "description": "of a Crazyflie, such as radio://0/80/2M"},
        "dead_man": {"default_value": "", "description": "input device of a switch that a hand holds down"},
        "view_port": {"default_value": "8765", "description": "of the live page on 127.0.0.1; 0 for none"},
        "namespace": {"default_value": ""},
    }


def nodes(stack: Stack, value: Callable[[str], str]) -> list[dict[str, Any]]:
    """Keyword arguments of `launch_ros.actions.Node`, one a node; `value` gives a launch argument's."""
    request = Request(
        Path(value("policy")).expanduser().resolve(), value("target"), value("trajectory"), value("start") == "true",
        value("lockstep") == "true", int(value("fifo")), value("uri"), value("dead_man"), int(value("view_port")),
    )  # fmt: skip
    return [
        {
            "package": "robostack", "executable": node.executable, "namespace": value("namespace"), "output": "screen",
            "parameters": [dict(node.parameters)], "additional_env": DEFAULTS,
            "arguments": ["--fifo", str(node.fifo)] if node.fifo else [],
        }
        for node in stack.describe(request)
    ]  # fmt: skip
