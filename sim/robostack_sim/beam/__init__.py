"""Beam control: ion beams through linear optics, and the tasks of steering them."""
