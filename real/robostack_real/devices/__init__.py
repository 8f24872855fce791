"""Devices, one file each: `read()` channel values with their ages, `write()` an action, `stop()`."""
