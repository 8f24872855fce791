"""Claims: all that the Foxglove layout names is there in a running stack, and of the type that its paths suppose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Ear, Running

from robostack_real.nodes import wire

LAYOUT = json.loads((Path(__file__).resolve().parents[2] / "launch/foxglove/quadrotor.json").read_text("utf-8"))
PANELS: dict[str, dict[str, Any]] = LAYOUT["configById"]
STEP = re.compile(r"(?P<name>\w+)(?:\[(?P<index>[:\d]*)\])?(?:\{(?P<key>\w+)==\"(?P<value>[^\"]*)\"\})?")
"""one step of a Foxglove message path: name[index]{key=="value"}"""


def shown(node: Any) -> Iterator[str]:
    """Panels in the tree of the layout."""
    if isinstance(node, str):
        yield node
    else:
        yield from (*shown(node["first"]), *shown(node["second"]))


def paths() -> list[str]:
    found = [p["value"] for panel in PANELS.values() for p in panel.get("paths", ())]
    found += [panel[k] for panel in PANELS.values() for k in ("topicPath", "topicToRender") if k in panel]
    return [p for p in found if not re.fullmatch(r"[\d.]+", p)]  # a number is a line across the plot


def follow(message: Any, path: str) -> list[Any]:
    """Values behind a path in a message; raises AttributeError or IndexError where there is no such thing."""
    values = [message]
    for step in path.split(".")[1:]:
        parts = STEP.fullmatch(step)
        assert parts, f"{step} in {path} is no step of a path"
        values = [getattr(v, parts["name"]) for v in values]
        if parts["index"] == ":":
            values = [x for v in values for x in v]
        elif parts["index"]:
            values = [v[int(parts["index"])] for v in values]
        if parts["key"]:
            values = [v for v in values if getattr(v, parts["key"]) == parts["value"]]
    return values


def test_every_panel_is_shown_and_every_one_that_is_shown_is_there() -> None:
    assert sorted(shown(LAYOUT["layout"])) == sorted(PANELS)


def test_every_path_leads_to_a_value_of_the_running_stack(stack: Running, ear: Ear) -> None:
    topics = {path.partition(".")[0] for path in paths()}
    ear.until(lambda: topics <= {name for name, _ in ear.node.get_topic_names_and_types()}, f"all of {topics}")
    types = dict(ear.node.get_topic_names_and_types())
    heard: dict[str, list[Any]] = {}
    for topic in topics:
        (kind,) = types[topic]
        ear.node.create_subscription(wire.message_type(kind), topic, heard.setdefault(topic, []).append, 10)

    def found(path: str) -> bool:
        return any(follow(message, path) for message in heard[path.partition(".")[0]])

    ear.until(lambda: all(map(found, paths())), "a value for every path")


def test_a_path_that_leads_nowhere_is_found() -> None:
    message = wire.Report("device", "s", "armed", {"why": ""}).put(wire.new(wire.STATUS_TYPE))
    assert follow(message, '/device_status.values[:]{key=="why"}.value') == [""]
    assert follow(message, '/device_status.values[:]{key=="who"}.value') == []
    with pytest.raises(AttributeError):
        follow(message, "/device_status.state")


def test_the_button_asks_for_a_service_of_the_supervisor(stack: Running, ear: Ear) -> None:
    (button,) = (panel for name, panel in PANELS.items() if name.startswith("CallService!"))
    asked = (button["serviceName"], [button["serviceType"]])
    ear.until(lambda: asked in ear.node.get_service_names_and_types(), f"{asked}")
    assert json.loads(button["requestPayload"]) == {} and "no emergency stop" in button["buttonTooltip"]
