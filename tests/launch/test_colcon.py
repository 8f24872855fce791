"""Claims: colcon builds robostack plain and with --symlink-install, its nodes run from there, and so does its launch
file where ROS's own launch is installed."""

from __future__ import annotations

import os
import signal
import sys
import time
import tomllib
from importlib.util import find_spec

import pytest
from workspace import ROOT, Workspace

SHARE = (
    "package.xml",
    "launch/quadrotor.launch.py",
    "launch/foxglove/quadrotor.json",
    "../ament_index/resource_index/packages/robostack",
)
LAUNCHER = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource as Source

service = LaunchService()
given = [tuple(word.split(":=")) for word in sys.argv[2:]]
service.include_launch_description(IncludeLaunchDescription(Source(sys.argv[1]), launch_arguments=given))
raise SystemExit(service.run())
"""
"""`ros2 launch`, without ros2"""


def test_what_ros_looks_for_is_where_it_looks(workspace: Workspace):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {p.name for p in (workspace.prefix / "lib/robostack").iterdir()} == scripts.keys()
    assert all((workspace.prefix / "share/robostack" / name).is_file() for name in SHARE)


def test_it_is_complete_and_the_one_that_is_imported(workspace: Workspace):
    code = (
        "import robostack; from robostack.export.firmware import firmware_source; "
        "from robostack_real.stacks.processes import PROFILE; "
        "assert firmware_source() and PROFILE.is_file(); print(robostack.__file__)"
    )
    status, text = workspace.output(sys.executable, "-c", code)
    assert status == 0 and text.startswith(str(workspace.path)), text
    status, text = workspace.output(workspace.prefix / "lib/robostack/robostack", "up", "--help")
    assert status == 0 and "policy.onnx" in text, text


def test_a_node_answers(workspace: Workspace, quadrotor_run, domain: int):
    rclpy = pytest.importorskip("rclpy")
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.executors import SingleThreadedExecutor

    context, heard = rclpy.Context(), []
    rclpy.init(context=context, domain_id=domain)
    ear, executor = rclpy.create_node("ear", context=context), SingleThreadedExecutor(context=context)
    ear.create_subscription(DiagnosticStatus, "policy_status", heard.append, 1)
    executor.add_node(ear)
    policy = quadrotor_run / "exported/policy.onnx"
    process = workspace.run(workspace.prefix / "lib/robostack/policy_node", "--ros-args", "-p", f"policy:={policy}")
    end = time.monotonic() + 30.0
    while not heard and process.poll() is None and time.monotonic() < end:
        executor.spin_once(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=20)
    rclpy.shutdown(context=context)
    assert heard and process.returncode == 0, text


def test_a_node_without_its_file_says_so_and_fails(workspace: Workspace):
    pytest.importorskip("rclpy")
    command = (workspace.prefix / "lib/robostack/policy_node", "--ros-args", "-p", "policy:=/nowhere/policy.onnx")
    status, text = workspace.output(*command)
    assert (status, "/nowhere/policy.onnx: No such file" in text) == (1, True), text


@pytest.mark.skipif(not find_spec("launch_ros"), reason="ROS's launch comes with a ROS install, and not from PyPI")
def test_ros_launch_starts_it_and_ctrl_c_brings_it_down_by_its_ladder(workspace: Workspace, flying_quadrotor):
    file = workspace.prefix / "share/robostack/launch/quadrotor.launch.py"
    process = workspace.run(sys.executable, "-c", LAUNCHER, file, f"policy:={flying_quadrotor}", "view_port:=0")
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if "armed by" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    armed_s = time.monotonic()
    said += process.stdout.readlines()
    text = "".join(said)
    assert process.wait(timeout=20) == 0, text
    assert "fallback: " in text and text.count("finished cleanly") == 4, text
    assert time.monotonic() - armed_s > 2.0, text  # its ladder's first rung takes three seconds
