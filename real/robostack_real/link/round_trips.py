"""How long a link takes."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field


@dataclass
class RoundTrips:
    """Times from sending a frame to having its answer, by the monotonic clock; keeps the last 10,000."""

    count: int = 0
    lost: int = 0
    """Frames without an answer of their own."""
    max_s: float = 0.0
    _recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    _first: float | None = None
    _last: float = 0.0

    def add(self, duration_s: float) -> None:
        self._last = time.monotonic()
        self._first = self._last - duration_s if self._first is None else self._first
        self.count += 1
        self.max_s = max(self.max_s, duration_s)
        self._recent_s.append(duration_s)

    def quantile(self, share: float) -> float:
        """Seconds; NaN without any round trip."""
        ordered = sorted(self._recent_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    @property
    def per_second(self) -> float:
        """Rate from the first frame to the last answer; 0 without any."""
        return self.count / (self._last - self._first) if self._first is not None else 0.0

    def as_dict(self) -> dict[str, float]:
        """For a report."""
        return {
            "count": self.count, "lost": self.lost, "per_second": self.per_second,
            "p50_s": self.quantile(0.5), "p99_s": self.quantile(0.99), "max_s": self.max_s,
        }  # fmt: skip
