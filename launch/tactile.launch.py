"""ros2 launch robostack tactile.launch.py policy:=policy.onnx"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from robostack_real.stacks.launching import arguments, nodes
from robostack_real.stacks.tactile import tactile


def start(context):
    described = nodes(tactile, lambda name: LaunchConfiguration(name).perform(context))
    return [Node(**node, on_exit=Shutdown()) for node in described]  # one that ends by itself ends all


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, **about) for name, about in arguments(tactile).items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
