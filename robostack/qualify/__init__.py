"""The release gate: the exported file behind its envelope, through all that a machine may do to it.

`bench.py` flies many episodes at once, each under a condition of its own (`condition.py`, made true by `link.py` and
`envelopes.py`); a probe is a file in `probes/` that says which conditions and what they found; `qualification.py` runs
all of them, `page.py` shows it, `record.py` writes the verdict into the policy's file.
"""
