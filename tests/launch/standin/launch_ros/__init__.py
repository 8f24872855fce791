"""A recording stand-in for ROS 2's `launch_ros`; see launch/__init__.py."""
