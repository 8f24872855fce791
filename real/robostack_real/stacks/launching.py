"""A stack's description in the words of launch files, so that these stay thin. Needs neither launch nor ROS."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robostack.signature import load_signed
from robostack.spec import ContractError
from robostack_real.stacks.processes import DEFAULTS, END_S
from robostack_real.stacks.stack import SOME_TAKE, Request, Stack


def arguments(stack: Stack) -> dict[str, dict[str, Any]]:
    """Launch arguments by name, as `DeclareLaunchArgument` takes them."""
    found: dict[str, dict[str, Any]] = {
        "policy": {
            "description": "path of the policy.onnx",
            **({"default_value": ""} if stack.own_policy else {}),
        },
        "target": {"default_value": "sim", "description": "what is commanded", "choices": list(stack.targets)},
        "policy_on": {
            "default_value": "board",
            "description": "where it runs with target:=board",
            "choices": ["board", "host"],
        },
        "trajectory": {"default_value": "hover", "choices": ["hover", "figure_eight"]},
        "start": {"default_value": "true", "description": "arm as soon as all is well", "choices": ["true", "false"]},
        "lockstep": {"default_value": "false", "choices": ["true", "false"]},
        "fifo": {"default_value": "0", "description": "SCHED_FIFO priority of the control nodes; 0 for none"},
        "uri": {
            "default_value": "udp://127.0.0.1:19850",
            "description": "of a Crazyflie, such as radio://0/80/2M, or an arm, arm://NAME",
        },
        "dead_man": {"default_value": "", "description": "input device of a switch that a hand holds down"},
        "require_signature": {
            "default_value": "",
            "description": "file of public keys, one of them the signer's",
        },
        "config": {"default_value": "", "description": "the machine's file, machine.toml"},
        "live": {"default_value": "false", "description": "act on the machine", "choices": ["true", "false"]},
        "character": {"default_value": "human", "description": "human, mouse, dinosaur, or a folder of yours"},
        "clip": {"default_value": "", "description": "a file, or punch, that is played as if worn"},
        "view_port": {"default_value": "8765", "description": "of the live page on 127.0.0.1; 0 for none"},
        "namespace": {"default_value": ""},
        "params_file": {"default_value": "", "description": "YAML file of parameters that go before the stack's own"},
    }
    return {name: about for name, about in found.items() if name not in SOME_TAKE or name in stack.takes}


def nodes(stack: Stack, value: Callable[[str], str]) -> list[dict[str, Any]]:
    """Keyword arguments of `launch_ros.actions.Node`, one a node; `value` gives a launch argument's.

    Raises ContractError for a file that is not there or a policy that nothing could fly, before any node is started.
    """
    said, file, keys = value("policy"), value("params_file"), _path(value("require_signature"))
    if stack.own_policy and said in ("", "none"):
        policy = Path(said) if said else None
    else:
        policy = Path(_path(said))
        load_signed(policy, [keys] if keys else [])
    if file and not Path(file).is_file():
        raise ContractError(f"params_file:={file}: there is no such file")
    own: dict[str, Any] = {name: value(name) for name in stack.takes}
    own |= {name: own[name] == "true" for name in {"lockstep", "live"} & own.keys()}
    own |= {name: _path(own[name]) for name in {"config"} & own.keys()}
    request = Request(
        policy, value("target"), start=value("start") == "true", fifo=_whole("fifo", value, 98),
        require_signature=keys, view_port=_whole("view_port", value, 65535), **own,
    )  # fmt: skip
    environment = {name: text for name, text in DEFAULTS.items() if name not in os.environ}
    return [
        {
            "package": "robostack", "executable": node.executable, "namespace": value("namespace"), "output": "screen",
            "parameters": [dict(node.parameters), *([file] if file else [])], "additional_env": environment,
            "arguments": ["--fifo", str(node.fifo)] if node.fifo else [], "sigterm_timeout": str(END_S),
        }
        for node in stack.describe(request)
    ]  # fmt: skip


def _path(text: str) -> str:
    return str(Path(text).expanduser().resolve()) if text else ""


def _whole(name: str, value: Callable[[str], str], most: int) -> int:
    text = value(name)
    if not (text.isdecimal() and int(text) <= most):
        raise ContractError(f"{name}:={text}: must be a whole number in [0, {most}]")
    return int(text)
