"""Claims: only what is asked for changes, and a falling body falls as it should by every integrator."""

from __future__ import annotations

from dataclasses import fields

import mujoco
import pytest

from robostack.spec import ContractError
from robostack_sim.physics import Physics

XML = """<mujoco><option timestep="0.005" iterations="6" cone="elliptic"/>
<worldbody><body><freejoint/><geom size=".1" mass="1"/></body></worldbody></mujoco>"""


def options(model):
    o = model.opt
    return o.timestep, o.integrator, o.solver, o.cone, o.iterations


def test_what_is_not_asked_for_stays_as_the_model_has_it() -> None:
    model = mujoco.MjModel.from_xml_string(XML)
    before = options(model)
    assert Physics().set(model, 0.02) == 4 and options(model) == before


@pytest.mark.parametrize("integrator", ["Euler", "RK4", "implicit", "implicitfast"])
@pytest.mark.parametrize("substeps", [2, 10])
def test_a_body_falls_as_it_should(integrator, substeps) -> None:
    model = mujoco.MjModel.from_xml_string(XML)
    steps = Physics(substeps=substeps, integrator=integrator, solver="CG", cone="pyramidal").set(model, 0.02)
    assert steps == substeps and options(model)[4] > 6
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=steps)
    dt = 0.02 / substeps
    # semi-implicit steps are half a step ahead of 1/2 g t^2
    fallen = 0.5 * 9.81 * 0.02**2 + (0.0 if integrator == "RK4" else 0.5 * 9.81 * 0.02 * dt)
    assert data.qpos[2] == pytest.approx(-fallen, rel=1e-6)


def test_no_step_at_all_is_refused() -> None:
    with pytest.raises(ContractError, match="substeps = 0"):
        Physics(substeps=0)


def test_every_setting_may_be_left_out() -> None:
    assert all(getattr(Physics(), f.name) is None for f in fields(Physics))
