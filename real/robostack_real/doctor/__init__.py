"""`robostack doctor`: what is on the wire against what a contract asks for."""
