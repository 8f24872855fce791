"""Avatar: a headset and two controllers drive a physically simulated character of another shape."""
