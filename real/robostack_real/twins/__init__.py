"""Emulated counterparts of machines, which speak the same bytes."""
