"""What may be looked for in a log; machine.py says what each is."""

from typing import Literal

Name = Literal["mass", "thrust", "curve", "rise", "fall", "delay", "torque", "inertia"]
