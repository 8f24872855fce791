"""Beam control: ion beams through linear optics and space charge, and the tasks of steering and matching them."""
