"""Which nodes make a running machine: one description each, read by `robostack up` and by the launch files."""
