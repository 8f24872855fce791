"""See launch/__init__.py."""

from __future__ import annotations

from collections.abc import Callable


class DeclareLaunchArgument:
    def __init__(
        self,
        name: str,
        *,
        default_value: str | None = None,
        description: str = "no description given",
        choices: list[str] | None = None,
    ) -> None:
        assert default_value is None or isinstance(default_value, str), f"{name}: a default is a text"
        assert choices is None or default_value is None or default_value in choices, f"{name}: not one of its choices"
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices

    def visit(self, context) -> list:
        value = context.launch_configurations.setdefault(self.name, self.default_value)
        if value is None:
            raise RuntimeError(f"missing required argument '{self.name}' (description: '{self.description}')")
        if self.choices and value not in self.choices:
            raise RuntimeError(f"Argument '{self.name}' provided value '{value}' is not valid: {self.choices}")
        return []


class OpaqueFunction:
    def __init__(self, *, function: Callable) -> None:
        self.function = function

    def visit(self, context) -> list:
        return self.function(context) or []


class Shutdown: ...
