"""A headset and two controllers, by whatever way they come: poses in metres, x ahead, y left, z up."""
