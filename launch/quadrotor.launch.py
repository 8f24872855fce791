"""ros2 launch robostack quadrotor.launch.py policy:=policy.onnx target:=sim trajectory:=figure_eight"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from robostack_real.stacks.launching import arguments, nodes
from robostack_real.stacks.quadrotor import quadrotor


def start(context):
    described = nodes(quadrotor, lambda name: LaunchConfiguration(name).perform(context))
    return [Node(**node, on_exit=Shutdown()) for node in described]  # one that ends by itself ends all


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, **about) for name, about in arguments(quadrotor).items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
