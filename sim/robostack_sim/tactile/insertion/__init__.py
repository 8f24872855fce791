"""Putting a gripped peg into a hole, by touch: a task on MuJoCo."""
