"""Standing a gripped peg upright on a table, by touch: a task on MuJoCo."""
