"""How MuJoCo computes: what another simulator of the same machine would do otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robostack.spec import ContractError

if TYPE_CHECKING:
    import mujoco


ITERATIONS = 100
"""MuJoCo's own: what is enough for Newton's method is too few for others"""


@dataclass(frozen=True)
class Physics:
    """Settings of the engine; None is as the model has it."""

    substeps: int | None = None
    """of a control period"""
    integrator: Literal["Euler", "RK4", "implicit", "implicitfast"] | None = None
    solver: Literal["PGS", "CG", "Newton"] | None = None
    """of the contacts' forces"""
    cone: Literal["pyramidal", "elliptic"] | None = None
    """of friction"""

    def __post_init__(self) -> None:
        if self.substeps is not None and self.substeps < 1:
            raise ContractError(f"substeps = {self.substeps}: must be 1 at least")

    def set(self, model: mujoco.MjModel, period_s: float) -> int:
        """Changes the options of `model`. Returns its steps in a control period."""
        import mujoco

        if self.substeps:
            model.opt.timestep = period_s / self.substeps
        if self.integrator:
            model.opt.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{self.integrator.upper()}")
        if self.solver:
            model.opt.solver = getattr(mujoco.mjtSolver, f"mjSOL_{self.solver.upper()}")
            model.opt.iterations = model.opt.ls_iterations = ITERATIONS
        if self.cone:
            model.opt.cone = getattr(mujoco.mjtCone, f"mjCONE_{self.cone.upper()}")
        return round(period_s / float(model.opt.timestep))
