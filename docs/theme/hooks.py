"""What the manual asks of mkdocs beyond its settings: equations that need no script, and verbs from their docstrings.

Equations are fences of `math`, which GitHub shows as well; here they become MathML when the manual is built.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

from robostack.commands import VERBS

ROOT = Path(__file__).resolve().parents[2]


def on_config(config: Any) -> Any:
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "equation", "format": equation})
    return config


def equation(source: str, language: str, css_class: str, *args: object, **kwargs: object) -> str:
    primed = convert(source, display="block").replace("<mi>&#x02032;</mi>", "<mo>&#x02032;</mo>")
    return f'<div class="{css_class}">{primed}</div>'


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    return markdown.replace("<!-- verbs -->", "\n".join(verbs())) if "<!-- verbs -->" in markdown else markdown


def verbs() -> Iterator[str]:
    """A section for each verb, in the order of `robostack --help`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    others = project["entry-points"]["robostack.commands"]
    homes = {verb: f"robostack.commands.{verb}{'_' * keyword.iskeyword(verb)}" for verb in VERBS}
    homes |= {verb: entry.partition(":")[0] for verb, entry in others.items()}
    for verb, home in homes.items():
        source = Path(importlib.util.find_spec(home).origin).read_text(encoding="utf-8")
        inner = re.findall(r"Annotated\[(\w+), tyro\.conf\.subcommand\(\"(\w+)\"\)\]", source)  # verbs of a verb
        for part, title in [(part, f"{verb} {word}") for part, word in inner] or [("Command", verb)]:
            yield SECTION.format(title=title, place=f"{home}.{part}")


SECTION = """
## robostack {title}

::: {place}
    options:
      show_root_heading: false
      show_root_toc_entry: false
      heading_level: 3
      filters: ["!^run$", "!^TAKES_REST$", "!^_"]
"""
