"""Settings by the name that a command line and a run's config.json give them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Named:
    """`where` is name -> module:settings; a module is imported on first use, since it needs torch."""

    kind: str
    where: Mapping[str, str]

    def settings_of(self, name: str) -> Any:
        """The settings class of that name. Raises LookupError listing what there is."""
        if name not in self.where:
            raise LookupError(f"no {self.kind} is called {name!r}; there are {', '.join(self.where)}")
        module, _, settings = self.where[name].partition(":")
        return getattr(importlib.import_module(module), settings)

    def name_of(self, settings: Any) -> str:
        """The name of an instance's class."""
        home = f"{type(settings).__module__}:{type(settings).__qualname__}"
        return next(name for name, where in self.where.items() if where == home)
