"""A task for robostack: a cart on a rail."""
