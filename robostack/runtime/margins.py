"""How far an envelope is from acting, as shares: 1 is all of the way, 0 is where it trips or clamps."""

from __future__ import annotations

import numpy as np

from robostack.runtime.envelope import Array, Status
from robostack.spec import PolicySpec


def margins(spec: PolicySpec, status: Status, applied_action: Array) -> dict[str, float]:
    """`margin_age` of the channel that is nearest to its max_age_s, below 0 beyond it; `margin_action` of the element
    of (actions,) that is nearest to one of its limits: 0 at the limit, 0.5 in the middle."""
    low, high = (np.array(spec.action_limit(end), np.float64) for end in ("low", "high"))
    limits = np.minimum(applied_action - low, high - applied_action) / (high - low)
    return {
        "margin_age": min(1.0 - status.age_s[c.name] / c.max_age_s for c in spec.observations),
        "margin_action": float(limits.min()),
    }
