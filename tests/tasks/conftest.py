from installed import ball_installed  # noqa: F401
