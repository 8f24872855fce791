"""A machine for robostack, at the other end of a line."""
