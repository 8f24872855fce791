"""PX4's flight modes as MAVLink carries them: `custom_mode` of a heartbeat, parameters 2 and 3 of DO_SET_MODE."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """(main, sub) mode of PX4's px4_custom_mode.h, by the names that its users know."""

    MANUAL = (1, 0)
    ALTITUDE = (2, 0)
    POSITION = (3, 0)
    TAKEOFF = (4, 2)
    HOLD = (4, 3)
    MISSION = (4, 4)
    RETURN = (4, 5)
    LAND = (4, 6)
    ACRO = (5, 0)
    OFFBOARD = (6, 0)
    STABILIZED = (7, 0)

    @property
    def custom(self) -> int:
        """The 32 bits of a heartbeat's custom_mode."""
        main, sub = self.value
        return sub << 24 | main << 16


def mode_name(custom: int) -> str:
    """In words, also of a mode that is not listed here."""
    main, sub = custom >> 16 & 0xFF, custom >> 24 & 0xFF
    known = {m.value: m.name for m in Mode}
    return known.get((main, sub)) or known.get((main, 0)) or f"mode {main}.{sub}"
