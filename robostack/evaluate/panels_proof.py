"""Panels of what can be held against the run: ports that agree, the contract, the machine it ran on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from robostack.evaluate.contract_words import limits, milliseconds, rung_in_words
from robostack.evaluate.html import count, definitions, nothing, number, section, small, table
from robostack.evaluate.material import Material
from robostack.spec import Channel

PORTS = {
    "onnxruntime": "ONNX Runtime",
    "c_host": "C on host",
    "c_board": "C on board",
    "c_int16_host": "C, int16, on host",
    "c_int16_board": "C, int16, on board",
}


def ports(m: Material) -> str:
    rows = m.section("verify").get("ports") or []
    return (
        ports_section(rows)
        if rows
        else section("Ports", "", nothing("Not verified yet: <code>robostack verify</code>"))
    )


def ports_section(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of `PortResult`s as mappings."""
    verdicts = {
        "passed": '<span class="good">✓ agrees</span>',
        "failed": '<span class="bad">✗ differs</span>',
        "missing": '<span class="soft">not run</span>',
    }
    bits: dict[Any, str] = {True: "same", False: '<span class="bad">differ</span>'}
    body = [
        [
            escape(PORTS.get(str(p.get("port")), str(p.get("port", "")))),
            f"{count(p.get('count'))} {escape(str(p.get('vectors', '')).replace('_', '-'))}",
            verdicts.get(str(p.get("status")), ""),
            small(p.get("error")),
            small(p.get("tolerance")),
            bits.get(p.get("bit_identical"), ""),
            count(p.get("instructions")),
            count(p.get("cycles")),
            f'<span class="soft">{escape(str(p.get("note") or ""))}</span>',
        ]
        for p in rows
    ]
    head = ("port", "vectors", "", "worst error", "tolerance", "bits", "instructions", "cycles", "")
    why = (
        "The same inputs through every runtime: the vectors recorded inside policy.onnx, and random ones. "
        "Errors are shares of an action's range; C ports of one precision must agree bit for bit. Instructions and "
        "modelled cycles are those of a whole control period on the emulated board."
    )
    return section("Ports", why, table(head, body, numeric=(3, 4, 6, 7)))


def contract(m: Material) -> str:
    if m.policy is None:
        return section("Contract", "", nothing("No policy was exported yet: <code>robostack export</code>"))
    s = m.policy.spec
    head = ("channel", "elements", "unit", "frame", "low", "high", "oldest", "held")
    body = [_channel_row(c) for c in s.observations]
    actions = [
        [
            f"<code>{escape(a.name)}</code>",
            _chips(a.elements),
            escape(a.unit),
            limits(a.low),
            limits(a.high),
            limits(a.neutral),
            "not limited" if a.slew_per_s is None else limits(a.slew_per_s),
        ]
        for a in s.actions
    ]
    action_head = ("action", "elements", "unit", "low", "high", "neutral", "slew a second")
    ladder = "".join(f"<li>{escape(rung_in_words(r))}</li>" for r in s.envelope.fallback)
    tumble = s.envelope.tumble
    cut = (
        f"Cut off when tilted past {number(np.degrees(tumble.max_tilt_rad))}° for {number(tumble.for_s)} s."
        if tumble
        else "No tumble cut-off."
    )
    timing_text = [
        ("control period", milliseconds(s.control_dt_s)),
        ("observation delay", milliseconds(*s.obs_delay_s)),
        ("action delay", milliseconds(*s.action_delay_s)),
        ("jitter", milliseconds(s.jitter_s)),
        ("recurrent state", f"{s.state.size} values" if s.state.size else "none"),
        ("policy", f"<code>{m.policy.policy_hash}</code>"),
        ("file", f"<code>{m.policy.file_sha256}</code>"),
        ("interface", f"<code>{s.interface_hash}</code>"),
        *((f"· {name}", f"<code>{digest[:16]}</code>") for name, digest in s.section_digests().items()),
    ]
    inner = (
        f'<div class="scroll">{table(head, body, numeric=(4, 5, 6, 7))}</div><br>'
        f'<div class="scroll">{table(action_head, actions)}</div><br>'
        f'<div class="row wide"><div><h3>Fallback ladder</h3><ol class="ladder">{ladder}</ol>'
        f'<p class="caption">{cut}</p></div><div>{definitions(timing_text)}</div></div>'
    )
    why = "What a machine must measure and accept: inside policy.onnx, checked by every board and node."
    return section("Contract", why, inner)


def machine(m: Material) -> str:
    rows = {**m.section("machine"), **m.section("versions")}
    stages = m.section("stages")
    if not rows and not stages:
        return ""
    left = definitions([(escape(k), escape(str(v))) for k, v in rows.items()])
    right = definitions([(escape(k), f"{number(v)} s") for k, v in stages.items()])
    inner = f'<div class="row wide"><div>{left}</div>' + (
        f"<div><h3>Time of each stage</h3>{right}</div>" if stages else ""
    )
    return section("Machine", "", inner + "</div>")


def _channel_row(c: Channel) -> list[str]:
    held = f"{c.hold_periods} periods"
    return [
        f"<code>{escape(c.name)}</code>",
        _chips(c.element_names),
        escape(c.unit),
        escape(c.frame),
        limits(c.low),
        limits(c.high),
        f"{number(1e3 * c.max_age_s)} ms",
        held,
    ]


def _chips(names: Sequence[str]) -> str:
    shown = ", ".join(escape(n) for n in names[:9])
    return f'<span class="mono soft">{shown}{f" … {len(names)} in all" if len(names) > 9 else ""}</span>'
