"""Beam machines over EPICS Channel Access: read, checked, moved within limits, and held when anything is wrong."""
