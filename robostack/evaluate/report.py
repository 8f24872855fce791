"""report.html: one run on one page that needs nothing else: no network, no script, light and dark.

Panels are functions of `Material`; one that has no data says which command makes it.
"""

from __future__ import annotations

import datetime
from html import escape
from pathlib import Path

from robostack.evaluate.html import page
from robostack.evaluate.material import Material
from robostack.evaluate.panels import panels, task_panels
from robostack.evaluate.panels_figures import tiles
from robostack.run_folder import RunFolder

STAGES = {
    "train": "trained",
    "export": "exported",
    "verify": "verified",
    "evaluate": "evaluated",
    "fly": "flown",
    "trial": "tried live",
}


def write_report(run: RunFolder) -> Path:
    """Writes `report.html` into the run folder and returns its path.

    Raises RunFolderError when metrics.json is damaged or the file cannot be written.
    """
    material = Material.read(run)
    own = task_panels(material.task)
    body = [tiles(material, own.tiles(material)), *(panel(material) for panel in panels(own))]
    if material.damaged:
        listed = "".join(f"<li>{escape(text)}</li>" for text in material.damaged)
        body.append(f'<section><h2 class="bad">Could not be read</h2><ul>{listed}</ul></section>')
    return run.write("report.html", page(material.task, run.path.resolve().name, _subtitle(material), body).encode())


def _subtitle(material: Material) -> str:
    cpu = material.section("machine").get("cpu", "")
    day = datetime.datetime.now().strftime("%d %B %Y, %H:%M")
    parts = [day, cpu, " → ".join(done for stage, done in STAGES.items() if stage in material.metrics)]
    return " · ".join(p for p in parts if p)
