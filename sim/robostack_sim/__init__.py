"""Simulated tasks: each folder is physics, task and parameters."""
