"""ros2 launch robostack quadrotor.launch.py policy:=policy.onnx target:=sim trajectory:=figure_eight"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from robostack_real.stacks.launching import arguments, nodes
from robostack_real.stacks.quadrotor import quadrotor


def generate_launch_description():
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, **about) for name, about in arguments(quadrotor).items()),
            OpaqueFunction(
                function=lambda context: [
                    Node(**node) for node in nodes(quadrotor, lambda name: LaunchConfiguration(name).perform(context))
                ]
            ),
        ]
    )
