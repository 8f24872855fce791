"""The adjoint of the quadrotor against central differences, and what a window does with it.

Differences are taken along random directions in float32, with span scaled to what is a small step for each and
Richardson's extrapolation, so that both truncation and rounding stay near 1e-4. Starts keep away from kinks: rotor
limits, the ends of the position cost's quadratic part, rise against fall (equal here).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import warp as wp
from plant import ROTOR, hover_speed, plant, span
from torch import Tensor

from robostack.lanes import as_lanes, columns
from robostack.recorded import RecordedOp
from robostack_sim.quadrotor.judging import NUM_TERMS
from robostack_sim.quadrotor.physics import NUM_NOISE, P, S
from robostack_sim.quadrotor.sensing import OBS_SIZE, step_kernel
from robostack_sim.quadrotor.task import Quadrotor

N = 256
STATE_STEP = torch.ones(S.SIZE)
STATE_STEP[span(S.POSITION, 3)] = 0.01
STATE_STEP[span(S.ATTITUDE, 4)] = 0.02
STATE_STEP[span(S.VELOCITY, 3)] = 0.05
STATE_STEP[span(S.RATE, 3)] = 0.2
STATE_STEP[span(S.ROTOR, 12)] = 30.0
STATE_STEP[span(S.GUST, 3)] = 0.01
STATE_STEP[S.BATTERY] = 0.01
STATE_STEP[span(S.BEFORE, 3)] = 0.01
STATE_STEP[span(S.BEFORE + 3, 4)] = 0.02
STATE_STEP[span(S.BEFORE + 7, 6)] = 0.1
STATE_STEP[S.TIME] = 0.0
ACTION_STEP = torch.full((4,), 30.0)


def gentle(num_envs: int, seed: int = 0) -> Quadrotor:
    """Near hover, moving and tilted a little, everything that can act acting: delays, gusts, drag, sag, noise."""
    task = plant(
        num_envs, seed, origin_share=0.0, position_max_m=0.03, velocity_max_m_s=0.5, rate_max_rad_s=1.0,
        angle_max_rad=0.5, delay_s=(0.001, 0.019), force_std=0.03, moment_std=3e-5, gust_std=0.03, noise_scale=1.0,
        mass_scale=(0.9, 1.1), rotor_time_s=(0.06, 0.2),
    )  # fmt: skip
    task.params[:, span(P.DRAG, 3)] = torch.tensor(task.vehicle.drag)
    task.params[:, P.SAG], task.params[:, P.DISCHARGE] = 0.05, 0.001
    draw = torch.Generator().manual_seed(seed)
    spread = 1.0 + 0.1 * torch.randn(num_envs, 12, generator=draw)
    task.state[:, span(S.ROTOR, 12)] = hover_speed(task)[:, None] * spread
    task.state[:, S.BATTERY] = 0.97
    task.state[:, span(S.BEFORE, 13)] = task.state[:, :13] + 0.01 * torch.randn(num_envs, 13, generator=draw)
    return task


def slope(value: Callable[[float], Tensor]) -> Tensor:
    """d value(h) / dh at 0, for each row, by central differences of two sizes and Richardson's extrapolation."""
    wide, narrow = ((value(h) - value(-h)) / (2.0 * h) for h in (0.5, 0.25))
    return (4.0 * narrow - wide) / 3.0


def agree(adjoint: Tensor, differences: Tensor, bound: float) -> None:
    """Relative to the size of the gradients, rows with a kink in reach (at most one in fifty) left out."""
    error = (adjoint - differences).abs() / differences.square().mean().sqrt()
    assert error.quantile(0.98).item() < bound, f"median {error.median():.1e}, worst {error.max():.1e}"


class OneStep:
    """step_kernel as an operator of state and action, and a random weighted sum of all it gives, one a row."""

    def __init__(self, task: Quadrotor, params_grad: Tensor | None = None) -> None:
        self.task, draw = task, torch.Generator().manual_seed(3)
        self.noise, reference = (columns(N, width, task.device) for width in (NUM_NOISE, 9))
        task.draw_noise(self.noise)
        constants = [
            as_lanes(task.params),
            wp.from_torch(task._weights),
            task.step_dt,
            as_lanes(self.noise),
            as_lanes(reference),
        ]
        grads = [None if params_grad is None else as_lanes(params_grad), None, None, None, None]
        sizes = (S.SIZE, OBS_SIZE, 1, NUM_TERMS)
        self.op = RecordedOp(
            step_kernel, N, (S.SIZE, 4), sizes, lambda slot: constants, 1, torch.device("cpu"),
            constant_grads=lambda slot: grads,
        )  # fmt: skip
        of_state, of_obs = torch.randn(S.SIZE, generator=draw), torch.randn(OBS_SIZE, generator=draw)
        # what is large in its unit counts less
        scale = STATE_STEP.clamp(min=1e-2)
        obs_scale = torch.ones(OBS_SIZE)
        obs_scale[22:26] = obs_scale[39:43] = 300.0
        obs_scale[52:] = 1.0
        self.weights = (
            of_state / scale,
            of_obs / obs_scale,
            torch.tensor([3.0]),
            torch.randn(NUM_TERMS, generator=draw),
        )

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        outputs = self.op(state, action)
        return torch.stack([(o * w).sum(1) for o, w in zip(outputs, self.weights, strict=True)]).sum(0)

    def double(self, state: Tensor, action: Tensor) -> Tensor:
        """The same without gradient, summed in float64."""
        with torch.no_grad():
            outputs = self.op(state, action)
        return sum((o.double() * w.double()).sum(1) for o, w in zip(outputs, self.weights, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_the_adjoint_of_a_step_agrees_with_differences_in_state_and_action(seed: int) -> None:
    task = gentle(N, seed)
    step = OneStep(task)
    draw = torch.Generator().manual_seed(seed)
    state = task.state.clone().requires_grad_()
    action = (hover_speed(task)[:, None] * (1.0 + 0.1 * torch.randn(N, 4, generator=draw))).requires_grad_()
    by_state, by_action = torch.autograd.grad(step(state, action).sum(), (state, action))
    with torch.no_grad():
        ds = torch.randn(N, S.SIZE, generator=draw) * STATE_STEP
        da = torch.randn(N, 4, generator=draw) * ACTION_STEP
        nothing = torch.zeros(())
        for along_state, along_action in ((ds, nothing), (nothing, da)):
            numeric = slope(lambda h, x=along_state, u=along_action: step.double(state + h * x, action + h * u))
            adjoint = (by_state.double() * along_state).sum(1) + (by_action.double() * along_action).sum(1)
            agree(adjoint, numeric, 3e-4)


def test_every_column_of_the_state_has_its_own_gradient() -> None:
    task = gentle(N)
    step = OneStep(task)
    state = task.state.clone().requires_grad_()
    action = hover_speed(task)[:, None].repeat(1, 4)
    (adjoint,) = torch.autograd.grad(step(state, action).sum(), state)
    for column in range(S.SIZE):
        if column == S.TIME:
            continue  # the clock moves the reference, which no action changes
        along = torch.zeros(S.SIZE)
        along[column] = STATE_STEP[column]
        numeric = slope(lambda h, x=along: step.double(state.detach() + h * x, action))
        expected = adjoint.double()[:, column] * STATE_STEP[column]
        error = (expected - numeric).abs().quantile(0.98) / max(numeric.square().mean().sqrt().item(), 1e-3)
        assert error.item() < 2e-2, S(column) if column in list(S) else column


def test_the_gradient_with_respect_to_parameters_agrees_with_differences() -> None:
    task = gentle(N)
    found = columns(N, P.SIZE, task.device)
    step = OneStep(task, found)
    action = (hover_speed(task)[:, None] * 1.05).repeat(1, 4).requires_grad_()
    step(task.state, action).sum().backward()
    nominal = task.params.clone()
    try:
        for column, relative in (
            (P.MASS, 0.05),
            (P.RISE, 0.1),
            (P.THRUST_2, 0.05),
            (P.INERTIA, 0.05),
            (P.DRAG, 0.3),
        ):
            along = torch.zeros_like(nominal)
            along[:, column] = relative * nominal[:, column]
            if column == P.RISE:
                along[:, P.FALL] = relative * nominal[:, P.FALL]

            def value(h: float, along: Tensor = along) -> Tensor:
                task.params.copy_(nominal + h * along)
                return step.double(task.state, action)

            numeric = slope(value)
            agree((found.double() * along).sum(1), numeric, 4e-3)
    finally:
        task.params.copy_(nominal)


HORIZON = 10


def window_loss(task: Quadrotor, kept: dict[str, Tensor], actions: Tensor, with_params: bool = False):  # type: ignore[no-untyped-def]
    """Minus the reward of a window from a kept state, a row an environment, and the window."""
    task.load_state_dict(kept)
    window = task.unroll(HORIZON, with_params)
    window.begin()
    total = torch.zeros(task.num_envs, dtype=torch.float64)
    for action in actions.unbind(0):
        obs, reward, _ = window.step(action)
        total = total - reward.double()
    final = obs["true_state"]
    return total + 10.0 * final[:, :3].double().square().sum(1), window


def kept_state(task: Quadrotor) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


def test_the_gradient_of_a_window_agrees_with_differences() -> None:
    task = gentle(N, 7)
    kept, draw = kept_state(task), torch.Generator().manual_seed(2)
    actions = hover_speed(task)[:, None] * (1.0 + 0.05 * torch.randn(HORIZON, N, 4, generator=draw))
    leaf = actions.clone().requires_grad_()
    loss, _ = window_loss(task, kept, leaf)
    (adjoint,) = torch.autograd.grad(loss.sum(), leaf)
    along = 30.0 * torch.randn(HORIZON, N, 4, generator=draw)
    numeric = slope(lambda h: window_loss(task, kept, actions + h * along)[0].detach())
    agree((adjoint.double() * along).sum((0, 2)), numeric, 2e-3)
    first = torch.zeros_like(along)
    first[0] = along[0]
    numeric = slope(lambda h: window_loss(task, kept, actions + h * first)[0].detach())
    agree((adjoint.double() * first).sum((0, 2)), numeric, 2e-3)


@pytest.mark.parametrize(
    ("column", "also", "relative"), [(P.MASS, P.MASS, 0.02), (P.RISE, P.FALL, 0.1)], ids=["mass", "rotor time"]
)
def test_a_window_gives_the_gradient_with_respect_to_parameters(column: P, also: P, relative: float) -> None:
    task = gentle(N, 7)
    kept, draw = kept_state(task), torch.Generator().manual_seed(2)
    actions = hover_speed(task)[:, None] * (1.0 + 0.05 * torch.randn(HORIZON, N, 4, generator=draw))
    loss, window = window_loss(task, kept, actions.requires_grad_(), with_params=True)
    loss.sum().backward()
    assert window.params_grad is not None
    along = torch.zeros_like(task.params)
    for c in {column, also}:
        along[:, c] = relative * kept["params"][:, c]

    def value(h: float) -> Tensor:
        changed = {**kept, "params": kept["params"] + h * along}
        return window_loss(task, changed, actions.detach())[0].detach()

    agree((window.params_grad.double() * along).sum(1), slope(value), 1e-3)


def test_a_wrong_mass_is_found_again_by_descent() -> None:
    task = gentle(32, 1)
    kept, draw = kept_state(task), torch.Generator().manual_seed(2)
    actions = hover_speed(task)[:, None] * (1.0 + 0.05 * torch.randn(HORIZON, 32, 4, generator=draw))
    actions.requires_grad_()  # what makes autograd keep the window
    window = task.unroll(HORIZON, with_params=True)
    assert window.params_grad is not None

    def fly(mass: Tensor) -> Tensor:
        task.load_state_dict({**kept, "params": kept["params"].index_copy(1, torch.tensor([int(P.MASS)]), mass)})
        window.begin()
        path = [window.step(action)[0]["true_state"] for action in actions.unbind(0)]
        return torch.stack(path)[:, :, 7:10]

    truth = kept["params"][:, [P.MASS]]
    recorded = fly(truth).detach().clone()
    mass = truth * 1.15
    for _ in range(12):
        each = (fly(mass) - recorded).square().sum((0, 2))
        each.sum().backward()
        slope_there = window.params_grad[:, P.MASS]
        step = torch.where(each > 1e-9, each.detach() / slope_there, 0.0)  # to the root of a parabola: half of it
        mass = mass - step[:, None]
    torch.testing.assert_close(mass, truth, rtol=5e-3, atol=0.0)


def test_without_being_asked_a_window_keeps_no_gradient_of_parameters() -> None:
    assert plant(2).unroll(3).params_grad is None


def test_backward_through_a_reused_window_is_refused() -> None:
    task = gentle(8)
    window = task.unroll(3)
    window.begin()
    action = hover_speed(task)[:, None].repeat(1, 4).requires_grad_()
    _, reward, _ = window.step(action)
    window.begin()
    window.step(action)
    with pytest.raises(RuntimeError, match="reused"):
        reward.sum().backward()


def test_rotors_at_rest_and_saturated_commands_have_finite_gradients() -> None:
    task = gentle(N)
    task.state[:, ROTOR] = 0.0
    step = OneStep(task)
    state = task.state.clone().requires_grad_()
    high = torch.full((N, 4), 1e6).requires_grad_()
    by_state, by_action = torch.autograd.grad(step(state, high).sum(), (state, high))
    assert torch.isfinite(by_state).all()
    assert (by_action == 0.0).all()  # beyond the limit a command changes nothing
