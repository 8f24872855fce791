"""A picture of what a pad feels of a peg that is pulled and held: `python -m robostack_sim.tactile.sensor.picture`.

An SVG: the elastic foundation's field, TacSL's, the camera's image and its difference from the gel at rest, while the
peg moves and once it is still.
"""

from __future__ import annotations

import argparse
import base64
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from robostack_sim.tactile.sensor.force_field import Bristle, ForceField, Penalty
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Indenters, octagonal_peg

HALF, DEPTH_M, STEPS, DT = 0.5**0.5, 8e-4, 12, 1.0 / 60.0
CELL, LEFT, TOP = 18, 130, 46


def gripped() -> dict[str, list[Tensor]]:
    """Fields and images of one pad, moving and still: the peg is turned a little in the grip and pulled along it."""
    grip = Grip(1, 1)
    indenters = Indenters([octagonal_peg(0.02, 0.05)], 1)
    fields = {
        "bristle": ForceField(Pad(), grip, indenters, Bristle()),
        "TacSL's law": ForceField(Pad(), grip, indenters, Penalty()),
    }
    camera = TactileImage(Camera(markers=(10, 7)), grip, indenters)
    pad = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).expand(1, 1, 7)
    found: dict[str, list[Tensor]] = {name: [] for name in (*fields, "image", "difference")}
    for k in range(2 * STEPS + 1):
        moving = 1.0 if 0 < k <= STEPS else 0.0
        share = min(k, STEPS) / STEPS
        turn = 0.02 * share
        pose = torch.tensor([[0.0, 3e-4 * share, 0.01 - DEPTH_M, HALF, HALF, HALF * turn / 2, HALF * turn / 2]])
        twist = moving * torch.tensor([[0.0, 3e-4, 0.0, 0.0, 0.0, 0.02]]) / (STEPS * DT)
        grip.update(pad, pose, None, twist)
        felt = {name: field.step()[0, 0].clone() for name, field in fields.items()}
        image = camera.render(fields["bristle"])[0, 0].clone()
        if k in (STEPS, 2 * STEPS):
            shown = {**felt, "image": image, "difference": camera.difference()[0, 0] // 2 + 128}
            for name, value in shown.items():
                found[name].append(value)
    return found


def png(image: Tensor) -> bytes:
    """(height, width, 3), 0 to 255"""
    height, width, _ = image.shape
    pixels = image.clamp(0, 255).to(torch.uint8).numpy()
    lines = b"".join(b"\0" + pixels[y].tobytes() for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def field_svg(field: Tensor, left: float, top: float, full: float, per_shear: float) -> list[str]:
    """Pressing as discs, shear as lines from their middles."""
    _, rows, columns = field.shape
    lines = [f'<rect x="{left}" y="{top}" width="{columns * CELL}" height="{rows * CELL}" fill="#f4f4f2"/>']
    for r in range(rows):
        for c in range(columns):
            shear_x, shear_y, push = field[:, r, c].tolist()
            x, y = left + (c + 0.5) * CELL, top + (r + 0.5) * CELL
            radius = 1.0 + (0.5 * CELL - 1.5) * (max(push, 0.0) / full) ** 0.5
            shade = "#2b6cb0" if push > 0.0 else "#cfcfca"
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{shade}" fill-opacity="0.55"/>')
            dx, dy = per_shear * shear_x, per_shear * shear_y
            if dx * dx + dy * dy > 0.25:
                end = f'x2="{x + dx:.1f}" y2="{y + dy:.1f}"'
                lines.append(f'<line x1="{x:.1f}" y1="{y:.1f}" {end} stroke="#c0392b" stroke-width="2"/>')
    return lines


def draw(path: Path) -> None:
    found = gripped()
    height = 14 * CELL
    wide = {"bristle": 10 * CELL, "TacSL's law": 10 * CELL, "image": height * 4 // 3, "difference": height * 4 // 3}
    titles = {
        "bristle": "elastic foundation",
        "TacSL's law": "TacSL's law",
        "image": "image",
        "difference": "difference",
    }
    lines, left = [], float(LEFT)
    for name, width in wide.items():
        lines.append(f'<text x="{left + width / 2}" y="30" text-anchor="middle">{titles[name]}</text>')
        for k, value in enumerate(found[name]):
            top = TOP + k * (height + 16)
            if name in ("image", "difference"):
                data = base64.b64encode(png(value)).decode()
                where = f'x="{left}" y="{top}" width="{width}" height="{height}" style="image-rendering:pixelated"'
                lines.append(f'<image {where} href="data:image/png;base64,{data}"/>')
            else:
                full = max(float(v[2].max()) for v in found[name])
                strongest = max(float(v[:2].norm(dim=0).max()) for v in found[name])
                lines += field_svg(value, left, top, full, 1.2 * CELL / max(strongest, 1e-12))
        left += width + 16
    for k, words in enumerate(("pulled", "held")):
        lines.append(
            f'<text x="{LEFT - 16}" y="{TOP + k * (height + 16) + height / 2}" text-anchor="end">{words}</text>'
        )
    tall = TOP + 2 * (height + 16)
    size = f'width="{left:.0f}" height="{tall}" viewBox="0 0 {left:.0f} {tall}"'
    style = 'font-family="sans-serif" font-size="16" fill="#222"'
    whole = "\n".join(lines)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{whole}\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, nargs="?", default=Path("tactile.svg"), help="where the SVG goes")
    path = parser.parse_args().path
    draw(path)
    print(path)


if __name__ == "__main__":
    main()
