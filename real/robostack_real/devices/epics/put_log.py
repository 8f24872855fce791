"""puts.jsonl: a line before every put, so that none is missing, whatever ends us; and a line for what else happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PUTS = "puts.jsonl"


class PutLog:
    def __init__(self, folder: Path) -> None:
        self.path = folder / PUTS
        self._file = self.path.open("a", encoding="utf-8")

    def put(self, pv: str, before: Any, value: Any, why: str) -> None:
        """Said before it is done: one that is not answered may have happened."""
        self._line(put=pv, before=before, value=value, why=why)

    def say(self, event: str, **more: Any) -> None:
        self._line(event=event, **more)

    def _line(self, **values: Any) -> None:
        self._file.write(json.dumps({"time": datetime.now(UTC).isoformat(), **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def left_by_us(folder: Path) -> dict[str, tuple[float, float]]:
    """By PV: its last put's value, and what stood there before it, which it is if the put never arrived."""
    path, found = folder / PUTS, {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # the last line, where power failed
            continue
        if "put" in line and line["before"] is not None:
            found[line["put"]] = (float(line["value"]), float(line["before"]))
    return found
