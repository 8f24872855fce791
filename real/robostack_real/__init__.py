"""robostack's machines: links to boards, devices, and their emulated twins."""
