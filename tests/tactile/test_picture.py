"""Claims: the picture on the page shows what it says: shear that is held, and shear that TacSL's law loses."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from robostack_sim.tactile.sensor.picture import draw, gripped


def test_the_foundation_holds_what_tacsls_law_loses_once_the_peg_is_still() -> None:
    found = gripped()
    pulled, held = found["bristle"]
    assert pulled[:2].abs().max() > 0 and (pulled - held).abs().max() < 1e-5 * pulled.abs().max()
    pulled, held = found["TacSL's law"]
    assert held[:2].norm() < 0.2 * pulled[:2].norm()


def test_the_picture_is_an_svg_with_four_images(tmp_path: Path) -> None:
    draw(tmp_path / "tactile.svg")
    root = ElementTree.parse(tmp_path / "tactile.svg").getroot()
    assert len([e for e in root.iter() if e.tag.endswith("image")]) == 4
