"""Claims: the pads' kernels feel the same with one taxel a thread, as on a GPU, and compile for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import warp as wp
from pressing import LYING

from robostack.lanes import stored
from robostack_sim.tactile.sensor import anyskin, force_field, image, readings, solids
from robostack_sim.tactile.sensor.anyskin import AnySkin, MagneticSkin
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField, Law, Penalty
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.readings import Readings, SensorModel
from robostack_sim.tactile.sensor.solids import Box, Indenters, Sphere, hex_nut, octagonal_peg, round_peg

SOLIDS = [Sphere(0.008), round_peg(0.016, 0.05), Box(0.016, 0.02, 0.016), hex_nut(0.016, 0.013, 0.004)]
SOLIDS += [octagonal_peg(0.016, 0.05)]
QUIET = MagneticSkin(noise_ut=0.0, drift_ut=0.0)


def felt(law: Law) -> list[torch.Tensor]:
    n = len(SOLIDS)
    grip, indenters = Grip(n), Indenters(SOLIDS, n)
    indenters.choose(range(n))
    field = ForceField(Pad(), grip, indenters, law)
    sensed = Readings(field, SensorModel(0.01, 0.1, 0.01, 0.1, 1.0, 0.1, 0.1, 1.0), 0.01)
    draw = torch.Generator().manual_seed(0)
    found = []
    for k in range(3):
        pads = torch.zeros(n, 2, 7)
        pads[..., 3] = 1.0
        pads[..., 3:] += 0.02 * torch.randn(n, 2, 4, generator=draw)
        pads[..., 2] = -0.0076
        poses = torch.zeros(n, 7)
        poses[:, 3:] = torch.tensor(LYING)
        poses[:, :3] = 2e-4 * torch.randn(n, 3, generator=draw)
        grip.update(pads, poses, None, 0.1 * torch.randn(n, 6, generator=draw))
        load = torch.tensor([1.0, 0.5, 8.0]).expand(n, 2, 3) if k == 1 and isinstance(law, Bristle) else None
        found += [field.step(load).clone(), sensed.read().clone()]
    if isinstance(law, Bristle):
        found += [TactileImage(Camera(), grip, indenters).render(field), AnySkin(field, QUIET, 0.01).read()]
    points = 0.01 * torch.randn(n, 50, 3, generator=draw)
    return [*found, *indenters.distance(points)]


@pytest.mark.parametrize("law", [Bristle(), Penalty()])
def test_one_taxel_a_thread_and_sixteen_feel_the_same(law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = felt(law)
    for module in (anyskin, force_field, image, readings, solids):
        monkeypatch.setattr(module, "as_lanes", lambda t: wp.from_torch(stored(t)))
        monkeypatch.setattr(module, "num_threads", lambda rows, device: rows)
    narrow = felt(law)
    assert wide[0].any()
    for a, b in zip(wide, narrow, strict=True):
        if a.dtype == torch.uint8:  # a slope at the edge of its bin may fall into the next
            assert ((a.short() - b.short()).abs() > 2).float().mean() < 1e-3
        else:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-3 * b.abs().max().item())


def test_every_kernel_of_the_pads_compiles_for_a_gpu_also_where_there_is_none(tmp_path: Path) -> None:
    script = Path(__file__).with_name("compile_taxels_for_a_gpu.py")
    subprocess.run([sys.executable, script, tmp_path], check=True)
    made: Any = "".join(path.read_text() for path in tmp_path.glob("*.ptx"))
    for kernel in ("distance_kernel", "heights_kernel", "penalty_kernel", "bristle_kernel", "relate_kernel",
                   "sensing_kernel", "blur_down_kernel", "blur_across_kernel", "shade_kernel", "marker_kernel",
                   "magnetic_kernel"):  # fmt: skip
        assert f".entry {kernel}_" in made
