"""A gripper's elastic pads and what they feel of what presses on them, batched over environments."""
