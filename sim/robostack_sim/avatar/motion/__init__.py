"""Recorded motion: readers of several formats into one clip, its repair, and what a headset would have seen of it."""
