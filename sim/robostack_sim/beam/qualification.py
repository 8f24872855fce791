"""What the beam's policies must reach to be released (`robostack qualify`).

Readings are slow here and a step waits for them, so a late one is shown and has no bar.
"""

from __future__ import annotations

from robostack.task import Bar


def orbit_bars() -> tuple[Bar, ...]:
    """Machines of which up to two correctors in ten are reversed and one BPM may be dead, corrected in eight moves."""
    parameters = ("magnet_offset_m", "optics_error", "gain_error", "flipped_correctors")
    return (
        Bar("nominal", 0.85),
        *(Bar(name, 0.75) for name in parameters),
        Bar("worst_case", 0.6),
        Bar("noise", 0.75, (1.0, 2.0)),
        Bar("bias", 0.75, (0.0, 2.0)),
        Bar("outage", 0.75, (0.0, 1.0)),
        Bar("loss", 0.75, (0.0, 5.0)),
        Bar("message", 0.75),
    )


def transmission_bars() -> tuple[Bar, ...]:
    """Machines tuned to 85 % transmission within thirty moves."""
    return (
        Bar("nominal", 0.9),
        Bar("noise", 0.8, (1.0, 2.0)),
        Bar("bias", 0.8, (0.0, 2.0)),
        Bar("outage", 0.8, (0.0, 2.0)),
        Bar("loss", 0.8, (0.0, 10.0)),
        Bar("message", 0.8),
    )
