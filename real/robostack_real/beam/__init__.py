"""Beam machines: classical orbit controllers, which need no trainer and run where the machine is."""
