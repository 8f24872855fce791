"""What a machine's numbers are, from a log of its flight."""
