"""Web pages of machines in flight: a run's flights to scrub through, and many environments while they train."""
