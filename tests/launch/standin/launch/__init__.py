"""A recording stand-in for ROS 2's `launch`, as much of it as our launch files use: it starts nothing, and refuses what
the real one refuses."""

from __future__ import annotations


class LaunchContext:
    def __init__(self, given: dict[str, str]) -> None:
        self.launch_configurations = dict(given)


class LaunchDescription:
    def __init__(self, entities: list) -> None:
        self.entities = list(entities)

    def execute(self, **given: str) -> list:
        """What would be started, given these launch arguments."""
        context, found = LaunchContext(given), []
        for entity in self.entities:
            found += entity.visit(context)
        return found
