"""Claims: the elastic foundation carries a contact solver's load and holds shear at rest. TacSL's law does neither."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
import torch
from pressing import LYING, UPRIGHT, Press, about, times
from torch import Tensor

from robostack_sim.tactile.sensor.force_field import Bristle, ForceField, Law, Penalty
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Box, Cylinder, Indenters, Sphere, octagonal_peg, round_peg

PEG = round_peg(0.016, 0.05)
BLOCK = Box(0.012, 0.016, 0.01)  # covers six columns and eight rows
LOADS_N = (1.0, 2.0, 5.0, 10.0, 20.0)
GEL = Bristle()


def summed(field: Tensor) -> list[float]:
    """Shear x, shear y and pressing of the first environment's pad."""
    return field[0].double().sum((1, 2)).tolist()


# ---- what MuJoCo's solver says


class Solver:
    """A peg that lies on a pad in MuJoCo, with its soft contact, pressed and pulled. Free to move in z and x."""

    MODEL = """
    <mujoco><option timestep="0.002" gravity="0 0 0" cone="elliptic" impratio="10"/>
      <default><geom solref="{}"/></default>
      <worldbody>
        <geom name="pad" type="box" size=".01 .014 .005" pos="0 0 -.005"/>
        <body name="peg" pos="0 0 .0081" euler="-90 0 0">
          <joint name="z" type="slide" axis="0 -1 0" damping="20"/><joint name="x" type="slide" axis="1 0 0"/>
          <geom type="cylinder" size=".008 .025" mass=".08"/>
        </body>
      </worldbody>
    </mujoco>"""

    def __init__(self, solref: str) -> None:
        self.model = mujoco.MjModel.from_xml_string(self.MODEL.format(solref))
        self.data = mujoco.MjData(self.model)

    def run(self, seconds: float, press_n: float, pull_n: float = 0.0) -> Iterator[None]:
        """A turn at 60 Hz."""
        for k in range(round(seconds / self.model.opt.timestep)):
            self.data.xfrc_applied[1, :3] = pull_n, 0.0, -press_n
            mujoco.mj_step(self.model, self.data)
            if k % 8 == 7:
                mujoco.mj_forward(self.model, self.data)
                yield

    def load(self) -> tuple[float, float, float]:
        """Force of the peg on the pad as the solver has it: shear x, shear y, pressing."""
        total, one = np.zeros(3), np.zeros(6)
        for i in range(self.data.ncon):
            mujoco.mj_contactForce(self.model, self.data, i, one)
            frame = self.data.contact[i].frame.reshape(3, 3)  # rows: normal and tangents, from geom 1 to geom 2
            total += (-1.0 if self.data.contact[i].geom1 == 0 else 1.0) * (frame.T @ one[:3])
        return total[0], total[1], -total[2]

    def feel(self, press: Press, loaded: bool) -> Tensor:
        position, quat = self.data.xpos[1].tolist(), self.data.xquat[1].tolist()
        velocity = [self.data.qvel[1], 0.0, self.data.qvel[0]]
        return press(position, quat, velocity, load_n=self.load() if loaded else None)


SOFTNESS = pytest.mark.parametrize("solref", ["0.02 1", "-250000 -800"], ids=["MuJoCo's default", "direct and stiff"])


def per_newton(law: Law, solref: str) -> np.ndarray:
    """Summed pressing over the load, at each of LOADS_N."""
    found = []
    for load in LOADS_N:
        solver, press = Solver(solref), Press(PEG, law)
        for _ in solver.run(0.4, load):
            field = solver.feel(press, isinstance(law, Bristle))
        assert solver.load()[2] == pytest.approx(load, rel=0.01)
        found.append(summed(field)[2] / load)
    return np.array(found)


@SOFTNESS
def test_summed_over_its_taxels_the_foundation_is_the_solvers_load_and_tacsls_law_is_not_even_linear(solref) -> None:
    ours, theirs = per_newton(GEL, solref), per_newton(Penalty(), solref)
    assert np.abs(ours - 1.0).max() < 1e-4  # in N
    if theirs.any():
        assert theirs.max() / theirs.min() > 1.25
    else:  # a stiff contact leaves the peg above the middle of every taxel, at 20 N too
        assert solref == "-250000 -800"


@SOFTNESS
def test_shear_holds_for_a_second_under_a_steady_pull_and_tacsls_does_not(solref: str) -> None:
    solver, ours, theirs = Solver(solref), Press(PEG, GEL), Press(PEG, Penalty())
    for _ in solver.run(0.4, 10.0):
        solver.feel(ours, True)
    held, lost = [], []
    for _ in solver.run(1.2, 10.0, 3.0):
        held.append(summed(solver.feel(ours, True))[0])
        lost.append(summed(solver.feel(theirs, False))[0])
    last_second = slice(-62, None)
    assert np.abs(np.array(held[last_second]) - 3.0).max() < 0.01 * 3.0
    steady = np.abs(np.array(lost[last_second]) - np.mean(lost[last_second])).max() < 0.1 * np.mean(lost[last_second])
    assert not steady  # where it feels anything, it is how fast the solver's friction creeps


# ---- the law of TacSL


def test_tacsls_law_is_its_formula_on_a_flat_face() -> None:
    press = Press(BLOCK, Penalty(normal=2.0, shear=0.1, friction=0.5))
    depth, speed = 4e-4, 0.003
    field = press((0.0, 0.0, 0.005 - depth), velocity_m_s=(speed, 0.0, 0.0))
    covered = field[0, 2] > 0
    assert covered.sum() == 6 * 8
    assert covered[3:11, 2:8].all()
    assert field[0, 2][covered].tolist() == pytest.approx([2.0 * depth] * 48, rel=1e-4)
    assert field[0, 0][covered].tolist() == pytest.approx([min(0.1 * speed, 0.5 * 2.0 * depth)] * 48, rel=1e-4)
    assert not field[0, 1].any()
    faster = press((0.0, 0.0, 0.005 - depth), velocity_m_s=(1.0, 0.0, 0.0))
    assert faster[0, 0][covered].tolist() == pytest.approx([0.5 * 2.0 * depth] * 48, rel=1e-4)


def test_under_tacsls_law_a_displacement_that_has_ended_is_not_felt() -> None:
    press = Press(BLOCK, Penalty())
    press((0.0, 0.0, 0.0046), velocity_m_s=(0.01, 0.0, 0.0))
    assert not press((0.001, 0.0, 0.0046))[0, :2].any()


def test_a_spinning_indenter_drags_each_taxel_the_way_its_own_surface_moves() -> None:
    field = Press(BLOCK, Penalty(friction=1e6))((0.0, 0.0, 0.0046), spin_rad_s=(0.0, 0.0, 2.0))
    taxels = Pad().taxels(torch.device("cpu")).view(14, 10, 3)
    touched = field[0, 2] > 0
    expected = 0.1 * 2.0 * torch.stack([-taxels[..., 1], taxels[..., 0]]) * touched
    torch.testing.assert_close(field[0, :2], expected, rtol=1e-4, atol=1e-9)


# ---- the elastic foundation


def test_pressing_is_stiffness_times_area_times_depth_under_a_flat_face_and_nothing_beside_it() -> None:
    field = Press(BLOCK, GEL)((0.0, 0.0, 0.0047))
    expected = torch.zeros(14, 10)
    expected[3:11, 2:8] = 1e8 * 4e-6 * 3e-4
    torch.testing.assert_close(field[0, 2], expected, rtol=2e-3, atol=1e-6)
    assert not field[0, :2].any()


@pytest.mark.parametrize("load", LOADS_N)
def test_a_ball_sinks_in_as_deep_as_a_winkler_foundation_lets_it(load: float) -> None:
    radius, fine = 0.02, Pad(rows=80, columns=80, pitch_m=2.5e-4)
    field = Press(Sphere(radius), Bristle(thickness_m=0.004), fine)((0.0, 0.0, radius), load_n=(0.0, 0.0, load))
    # pressure kn (w - r2 / 2R) within a = sqrt(2 R w): the load is pi kn R w2; K. L. Johnson, Contact Mechanics, 4.3
    depth = math.sqrt(load / (math.pi * 1e8 * radius))
    assert summed(field)[2] == pytest.approx(load, rel=1e-4)
    assert field[0, 2].max().item() / (1e8 * 2.5e-4**2) == pytest.approx(depth, rel=0.03)
    across = (field[0, 2] > 0).sum().item() * 2.5e-4**2
    assert across == pytest.approx(math.pi * 2.0 * radius * depth, rel=0.06)


def test_the_load_decides_however_deep_the_solver_is() -> None:
    press = Press(PEG, GEL)
    fields = [press((0.0, 0.0, z), LYING, load_n=(0.0, 0.0, 8.0)) for z in (0.0085, 0.008, 0.0075)]
    for field in fields:
        assert summed(field)[2] == pytest.approx(8.0, rel=1e-4)
        torch.testing.assert_close(field[0, 2], fields[0][0, 2], rtol=0, atol=0.01 * fields[0][0, 2].max().item())


def test_a_sheared_taxel_holds_its_shear_to_the_last_bit_for_as_long_as_nothing_moves() -> None:
    press = Press(PEG, GEL)
    press((0.0, 0.0, 0.0075), LYING)
    first = press((1e-4, 5e-5, 0.0075), LYING)
    stuck = first[0, 2] > 0.1
    for channel, shift in ((0, 1e-4), (1, 5e-5)):
        assert first[0, channel][stuck].tolist() == pytest.approx([3.3e7 * 4e-6 * shift] * int(stuck.sum()), rel=1e-3)
    for _ in range(100):
        later = press((1e-4, 5e-5, 0.0075), LYING)
    assert torch.equal(first, later)


def test_shear_is_forgotten_with_the_touch() -> None:
    press = Press(BLOCK, GEL)
    press((0.0, 0.0, 0.0047))
    assert press((1e-4, 0.0, 0.0047))[0, 0].any()
    press((1e-4, 0.0, 0.0052))
    assert not press((1e-4, 0.0, 0.0047))[0, :2].any()


def test_sliding_is_at_the_cone_and_back_again_is_a_hysteresis_loop() -> None:
    press, depth = Press(BLOCK, GEL), 2e-4
    limit = GEL.friction * 1e8 * 4e-6 * depth * 48
    slope = 3.3e7 * 4e-6 * 48
    travel = np.concatenate([np.linspace(0.0, 9e-4, 10), np.linspace(8e-4, -9e-4, 18)])
    expected, tip = [], 0.0
    felt = []
    for x in travel:
        felt.append(summed(press((x, 0.0, 0.005 - depth)))[0])
        tip = min(max(tip, x - limit / slope), x + limit / slope)
        expected.append(slope * (x - tip))
    assert felt == pytest.approx(expected, rel=0.01, abs=0.02 * limit)
    assert max(felt) == pytest.approx(limit, rel=1e-3) and min(felt) == pytest.approx(-limit, rel=1e-3)


def test_a_twist_about_the_normal_shears_round_it() -> None:
    press, angle = Press(BLOCK, GEL), 0.01
    press((0.0, 0.0, 0.0046))
    field = press((0.0, 0.0, 0.0046), about((0.0, 0.0, 1.0), angle))
    taxels = Pad().taxels(torch.device("cpu")).view(14, 10, 3)
    expected = 3.3e7 * 4e-6 * angle * torch.stack([-taxels[..., 1], taxels[..., 0]]) * (field[0, 2] > 0)
    torch.testing.assert_close(field[0, :2], expected, rtol=0.02, atol=2e-4)


def test_no_taxel_is_sheared_beyond_its_cone_whatever_happens() -> None:
    draw = np.random.default_rng(0)
    for law in (GEL, Bristle(friction=0.3)):
        press = Press(octagonal_peg(0.016, 0.05), law)
        for k in range(60):
            at = (*draw.normal(0.0, 3e-4, 2), 0.0078 + draw.normal(0.0, 2e-4))
            turn = times(about((0.0, 0.0, 1.0), draw.normal(0.0, 0.02)), LYING)
            load = (*draw.normal(0.0, 5.0, 2), draw.uniform(0.0, 20.0)) if k % 2 else None
            field = press(at, turn, load_n=load)[0]
            assert torch.isfinite(field).all()
            assert (field[:2].norm(dim=0) <= law.friction * field[2] * (1 + 1e-5) + 1e-8).all()


@pytest.mark.parametrize(("share", "steps", "error"), [(0.3, 1, 0.002), (0.7, 1, 0.02), (0.9, 1, 0.02), (0.9, 5, 0.01)])
def test_a_pull_within_the_cone_is_carried_to_what_the_page_says(share: float, steps: int, error: float) -> None:
    press = Press(PEG, GEL)
    pull = (0.6 * share * 10.0, 0.8 * share * 10.0, 10.0)
    for _ in range(steps):
        field = press((0.0, 0.0, 0.008), LYING, load_n=pull)
    assert summed(field) == pytest.approx(pull, abs=error * share * 10.0 + 1e-3)
    missing = press.field.missing[0, 0].tolist()
    assert missing == pytest.approx([a - b for a, b in zip(pull, summed(field), strict=True)], abs=1e-3)


def test_what_the_cone_does_not_allow_is_missing() -> None:
    press = Press(BLOCK, Bristle(friction=0.5))
    for _ in range(3):
        field = press((0.0, 0.0, 0.005), load_n=(8.0, 0.0, 10.0))
    assert summed(field) == pytest.approx([5.0, 0.0, 10.0], abs=0.01)
    assert press.field.missing[0, 0].tolist() == pytest.approx([3.0, 0.0, 0.0], abs=0.01)


def test_a_load_that_no_taxel_is_near_is_missing_and_no_load_is_no_touch() -> None:
    press = Press(Sphere(0.004), GEL)
    far = press((0.0, 0.0, 0.02), load_n=(1.0, 2.0, 3.0))
    assert not far.any() and press.field.missing[0, 0].tolist() == [1.0, 2.0, 3.0]
    for load in ((0.0, 0.0, 0.0), (0.0, 0.0, -4.0), (0.0, 0.0, math.nan)):
        assert not press((0.0, 0.0, 0.0038), load_n=load).any()


def test_a_load_under_which_the_gel_is_pressed_through_is_partly_missing() -> None:
    press = Press(Sphere(0.004), GEL)
    carried = summed(press((0.0, 0.0, 0.003), load_n=(0.0, 0.0, 20.0)))[2]
    assert 1.0 < carried < 10.0
    assert press.field.missing[0, 0, 2].item() == pytest.approx(20.0 - carried, rel=1e-5)


def test_a_gel_is_no_deeper_than_it_is_thick() -> None:
    field = Press(BLOCK, GEL)((0.0, 0.0, 0.001))
    assert field[0, 2].max().item() == pytest.approx(1e8 * 4e-6 * 0.002, rel=1e-4)


# ---- a batch


def scene(law: Law) -> tuple[Grip, ForceField]:
    """Two fingers about three different solids, the second turned so that its gel faces the first's."""
    grip = Grip(3)
    indenters = Indenters([PEG, BLOCK, Sphere(0.005)], 3)
    indenters.choose([0, 1, 2])
    field = ForceField(Pad(), grip, indenters, law)
    across = torch.tensor([0.008, 0.005, 0.005]) - 3e-4
    pads = torch.zeros(3, 2, 7)
    pads[:, 0, 2], pads[:, 1, 2] = -across, across
    pads[:, 0, 3:], pads[:, 1, 3:] = torch.tensor(UPRIGHT), torch.tensor(about((1.0, 0.0, 0.0), math.pi))
    poses = torch.zeros(3, 7)
    poses[:, 3:] = torch.tensor([LYING, UPRIGHT, UPRIGHT])
    grip.update(pads, poses)
    return grip, field


@pytest.mark.parametrize("law", [GEL, Penalty()])
def test_two_fingers_press_a_gripped_solid_alike(law: Law) -> None:
    _, field = scene(law)
    felt = field.step()
    assert felt.shape == (3, 2, 3, 14, 10)
    assert (felt[:, :, 2].sum((-1, -2)) > 0).all()
    torch.testing.assert_close(felt[:, 0, 2], felt[:, 1, 2], rtol=1e-3, atol=1e-4 * felt.max().item())


def test_material_is_an_environments_own_and_may_be_drawn_anew() -> None:
    _, field = scene(GEL)
    before = field.step()[:, :, 2].clone()
    field.material[1, :, 0] *= 2.0
    after = field.step()[:, :, 2]
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(after[1], 2.0 * before[1])


def test_an_environment_whose_simulator_blew_up_feels_again_once_it_is_reset_and_the_others_never_stopped() -> None:
    grip, field = scene(GEL)
    sound = grip.relative[1].clone()
    before = field.step().clone()
    grip.relative[1] = math.nan
    torch.testing.assert_close(field.step()[[0, 2]], before[[0, 2]], rtol=0, atol=1e-6)
    grip.relative[1] = sound
    field.reset(torch.tensor([1]))
    torch.testing.assert_close(field.step(), before, rtol=0, atol=1e-6)


def test_a_reset_environment_forgets_and_the_others_do_not() -> None:
    grip, field = scene(GEL)
    field.step()
    grip.relative[..., 9] += 5e-5
    sheared = field.step()[:, :, 0].clone()
    field.reset(torch.tensor([1]))
    later = field.step()[:, :, 0]
    assert sheared[1].any() and not later[1].any()
    assert torch.equal(later[[0, 2]], sheared[[0, 2]])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Bristle(normal_n_m3=-1.0), "Bristle: normal_n_m3 = -1.0"),
        (lambda: Penalty(friction=math.nan), "Penalty: friction = nan"),
        (lambda: Press(PEG, Penalty())((0.0, 0.0, 0.1), load_n=(0.0, 0.0, 1.0)), "takes no load; use Bristle"),
        (lambda: scene(GEL)[1].step(torch.zeros(3, 3)), r"load is \(3, 3\), must be \(3, 2, 3\)"),
        (lambda: ForceField(Pad(), Grip(2), Indenters([Cylinder(0.01, 0.01)], 3)), "2 grips, but 3 indenters"),
    ],
)
def test_what_does_not_fit_is_named(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
