"""A probe a file: `probe(bench)` says which conditions are flown, and returns what it found."""
