"""See launch/__init__.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Node:
    """With the real one's keywords and the types it takes, as far as we use them."""

    package: str
    executable: str
    namespace: str = ""
    parameters: list[dict[str, Any] | str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    additional_env: dict[str, str] = field(default_factory=dict)
    output: str = "log"
    sigterm_timeout: str = "5"
    on_exit: Any = None

    def __post_init__(self) -> None:
        values = [v for p in self.parameters if isinstance(p, dict) for v in p.values()]
        assert all(isinstance(v, bool | int | float | str) for v in values), values
        texts = [*self.arguments, *self.additional_env, *self.additional_env.values(), self.sigterm_timeout]
        assert all(isinstance(t, str) for t in texts), texts
        assert all(isinstance(p, dict | str) for p in self.parameters), self.parameters
