"""Claims about the live page: it shows what is said, to this machine alone, and its button asks the supervisor."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Ear
from std_srvs.srv import Trigger

from robostack.export.onnx import load_policy
from robostack.messages import action_topic
from robostack_real.nodes import wire
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import NodeDescription


@pytest.fixture(scope="module")
def page(policy: Path, domain: int, ear: Ear) -> Iterator[str]:
    lines: list[str] = []
    nodes = [NodeDescription("view", {"policy": str(policy), "port": 0})]
    with Processes(nodes, environment={"ROS_DOMAIN_ID": str(domain)}, show=lambda role, line: lines.append(line)):
        ear.until(lambda: any("http://" in line for line in lines), f"its address; {lines}")
        yield "http://" + next(line for line in lines if "http://" in line).partition("http://")[2]


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        return bytes(answer.read())


def post(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def state(page: str) -> dict[str, Any]:
    """The newest of the events."""
    with urllib.request.urlopen(f"{page}/state", timeout=5) as events:
        line = events.readline().decode()
    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return found


def test_the_page_and_the_contract_are_served(page: str, policy: Path) -> None:
    assert b"Request stop" in get(f"{page}/")
    spec = load_policy(policy).spec
    contract = json.loads(get(f"{page}/contract"))
    assert [c["name"] for c in contract["channels"]] == [c.name for c in spec.observations]
    assert contract["actions"][0]["high"] == list(spec.actions[0].high)


def test_what_nodes_say_and_send_is_shown_and_what_is_no_number_is_nothing(page: str, ear: Ear, policy: Path) -> None:
    spec = load_policy(policy).spec
    topic = action_topic(spec)
    message, status = topic.blank(wire.new), wire.new(wire.STATUS_TYPE)
    topic.write(message, {spec.actions[0].name: np.array([1200.0, np.nan, 3.0, 4.0])})
    actions = ear.node.create_publisher(wire.message_type(topic.type), "action", wire.newest())
    device = ear.node.create_publisher(wire.message_type(wire.STATUS_TYPE), "device_status", wire.newest())
    report = wire.Report("device", "device-1", "fallback", {"why": "stale <position>"}, 2).put(status)

    def shown() -> bool:
        actions.publish(message)
        device.publish(report)
        found = state(page)
        return bool(found.get("nodes", {}).get("device")) and spec.actions[0].name in found["values"]

    ear.until(shown, "shown")
    found = state(page)
    assert found["values"][spec.actions[0].name] == [1200.0, None, 3.0, 4.0]
    assert found["nodes"]["device"]["state"] == "fallback" and found["nodes"]["device"]["age_s"] < 5.0


def test_a_name_from_elsewhere_gets_nothing(page: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{page}/", Host="evil.example:8765")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{page}/../etc/passwd")


def test_the_button_asks_the_supervisor_and_says_when_there_is_none(page: str, ear: Ear) -> None:
    status, said = post(f"{page}/stop")
    assert status == 503 and "no supervisor answers" in said
    asked: list[bool] = []

    def serve(request: Any, response: Any) -> Any:
        asked.append(True)
        response.success = True
        return response

    ear.node.create_service(Trigger, "/supervisor/stop", serve)

    def pressed() -> bool:
        ear.for_s(0.2)
        return post(f"{page}/stop")[0] == 202

    ear.until(pressed, "accepted")
    ear.until(lambda: asked, "asked")
