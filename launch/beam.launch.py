"""ros2 launch robostack beam.launch.py policy:=policy.onnx target:=epics config:=machine.toml live:=true"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from robostack_real.stacks.beam import beam
from robostack_real.stacks.launching import arguments, nodes


def start(context):
    described = nodes(beam, lambda name: LaunchConfiguration(name).perform(context))
    return [Node(**node, on_exit=Shutdown()) for node in described]  # one that ends by itself ends all


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, **about) for name, about in arguments(beam).items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
