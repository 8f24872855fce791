"""Every port computes the same: ONNX Runtime, C on this machine, C on the emulated board (`robostack verify`)."""

from __future__ import annotations

from robostack.export.verify import PortResult, verify
from robostack.qualify.bench import Bench
from robostack.qualify.finding import Finding


def probe(bench: Bench) -> Finding:
    results = verify(bench.policy)
    names = dict.fromkeys(r.port for r in results)
    why = "The same inputs through every runtime; a port whose tools are not installed is named and does not count."
    return Finding("Ports", why, [_row(name, [r for r in results if r.port == name]) for name in names], ports=results)


def _row(port: str, results: list[PortResult]) -> dict[str, object]:
    """1 where all of its vectors agree."""
    ran = [r for r in results if r.status != "missing"]
    agree = float(all(r.status == "passed" for r in ran)) if ran else None
    notes = "; ".join(dict.fromkeys(r.note for r in results if r.note))
    return {
        "what": f"port {port.replace('_', ' ')} computes the same",
        "value": agree, "unit": "", "bar": 1.0 if ran else None, "better": "higher", "reference": notes,
    }  # fmt: skip
