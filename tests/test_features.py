"""Three faces of one vocabulary: torch, the fused Warp kernel and ONNX nodes give the same numbers."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from torch import Tensor

from robostack.export.graph import Graph
from robostack.export.profile import IR_VERSION, OPSET
from robostack.features import (
    Difference,
    Feature,
    FeatureStack,
    FirstOrderLag,
    History,
    Integral,
    Pick,
    RotationMatrix,
    Scale,
    Trend,
)  # fmt: skip
from robostack.features_memory import Best
from robostack.spec import Channel
from robostack.task import Layout

DT = 0.01
CHANNELS = tuple(
    Channel(name=name, shape=(size,), unit="1", low=(-10.0,), high=(10.0,))
    for name, size in (
        ("position", 3),
        ("target", 3),
        ("attitude", 4),
        ("rotors", 4),
        ("pressure", 1),
        ("wide", 7),
    )
)
LAYOUT = Layout(CHANNELS)
SIZES = {c.name: c.size for c in CHANNELS}

small = st.floats(-3.0, 3.0, width=32).map(lambda v: round(v, 3))
gain = small.filter(lambda v: abs(v) > 0.01)
limit = st.floats(0.125, 2.0, width=32).map(lambda v: round(v, 3))


@st.composite
def picks(draw: st.DrawFn, size: int | None = None) -> Pick:
    """Some consecutive elements of some channel."""
    name = draw(st.sampled_from([n for n, s in SIZES.items() if s >= (size or 1)]))
    count = size or draw(st.integers(1, SIZES[name]))
    return Pick(name, draw(st.integers(0, SIZES[name] - count)), count)


@st.composite
def features(draw: st.DrawFn) -> Feature:
    kind = draw(st.sampled_from(["scale", "difference", "rotation", "lag", "integral", "history", "trend", "best"]))
    source = draw(picks())
    count = source.count
    match kind:
        case "scale":
            found: Feature = Scale(source, draw(gain), draw(small))
        case "difference":
            found = Difference(source, draw(picks(count)), draw(limit), draw(gain))
        case "rotation":
            found = RotationMatrix(draw(picks(4)))
        case "lag":
            found = FirstOrderLag(source, draw(st.floats(0.005, 1.0)), draw(small), draw(gain), draw(small))
        case "integral":
            found = Integral(source, draw(picks(count)), draw(limit), draw(limit), draw(gain))
        case "trend":
            found = Trend(source, draw(st.none() | picks(count)), draw(gain))
        case "best":
            found = Best(draw(picks(1)), source, -20.0, draw(gain), draw(gain))
        case _:
            found = History(source, draw(st.integers(1, 3)), draw(small), draw(gain), draw(small))
    return found


stacks = st.lists(features(), min_size=1, max_size=7).map(tuple)


def rows(stack: FeatureStack, n: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, LAYOUT.size, generator=draw), torch.randn(n, stack.state_size, generator=draw)


def onnx_face(stack: FeatureStack) -> onnxruntime.InferenceSession:
    graph = Graph()
    inputs = {c.name: graph.input(c.name, c.shape) for c in CHANNELS}
    state = graph.input("state", (stack.state_size,)) if stack.state_size else ""
    out, next_state = stack.onnx(graph, inputs, state)
    graph.output("out", out)
    if stack.state_size:
        graph.output("next_state", next_state)
    model = helper.make_model(graph.proto(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def gradients(stack: FeatureStack, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
    """Of a fixed random sum of output and next state."""
    x, state = x.clone().requires_grad_(), state.clone().requires_grad_()
    out, next_state = stack(x, state)
    draw = torch.Generator().manual_seed(1)
    loss = (out * torch.randn(out.shape, generator=draw)).sum()
    loss = loss + (next_state * torch.randn(next_state.shape, generator=draw)).sum()
    found = torch.autograd.grad(loss, (x, state), allow_unused=True)
    return tuple(torch.zeros_like(v) if g is None else g for g, v in zip(found, (x, state), strict=True))


def three_faces_agree(chosen: tuple[Feature, ...], seed: int) -> None:
    plain, fused = FeatureStack(chosen, LAYOUT, DT), FeatureStack(chosen, LAYOUT, DT, fused_slots=1)
    x, state = rows(plain, 5, seed)
    out, next_state = plain(x, state)
    for ours, theirs in zip(fused(x, state), (out, next_state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(fused, x, state), gradients(plain, x, state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    feed = {c.name: x[:, LAYOUT.offset[c.name] :][:, : c.size].numpy() for c in CHANNELS}
    session = onnx_face(plain)
    used = {i.name for i in session.get_inputs()}
    given = {name: np.ascontiguousarray(v) for name, v in {**feed, "state": state.numpy()}.items() if name in used}
    for ours, theirs in zip(session.run(None, given), (out, next_state), strict=False):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(stacks, st.integers(0, 1000))
def test_torch_the_fused_kernel_and_onnx_agree_on_any_stack(chosen: tuple[Feature, ...], seed: int) -> None:
    three_faces_agree(chosen, seed)


def test_the_quadrotors_own_stack_agrees_too() -> None:
    from robostack_sim.quadrotor.config import QuadrotorConfig
    from robostack_sim.quadrotor.task import Quadrotor

    task = Quadrotor(QuadrotorConfig(num_envs=6))
    plain, fused = (FeatureStack(task.features, task.layout, DT, fused_slots=k) for k in (0, 3))
    obs = task.observe().flat
    state = plain.reset.expand(6, -1)
    for _ in range(3):
        out, state_plain = plain(obs, state)
        ours, state_fused = fused(obs, state)
        torch.testing.assert_close(ours, out, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(state_fused, state_plain, rtol=1e-5, atol=1e-5)
        state = state_plain


def test_a_lag_is_the_exact_response_of_a_first_order_actuator() -> None:
    lag = FirstOrderLag(Pick("pressure"), 0.05, reset=1.0)
    stack = FeatureStack((lag,), LAYOUT, DT)
    x, state = torch.full((1, LAYOUT.size), 3.0), stack.reset
    for k in range(1, 20):
        out, state = stack(x, state)
        assert out.item() == pytest.approx(3.0 - 2.0 * np.exp(-k * DT / 0.05), rel=1e-5)


def test_an_integral_grows_with_the_clipped_error_and_stops_at_its_limit() -> None:
    integral = Integral(Pick("position", 0, 1), Pick("target", 0, 1), error_limit=0.5, limit=0.02, gain=10.0)
    stack = FeatureStack((integral,), LAYOUT, DT)
    x, state = torch.zeros(1, LAYOUT.size), stack.reset
    x[0, LAYOUT.offset["position"]] = 7.0
    seen = []
    for _ in range(6):
        out, state = stack(x, state)
        seen.append(out.item())
    assert seen == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])


def test_a_history_gives_the_samples_before_newest_first() -> None:
    stack = FeatureStack((History(Pick("pressure"), 3, reset=-1.0),), LAYOUT, DT)
    state, at = stack.reset, LAYOUT.offset["pressure"]
    seen = []
    for value in (1.0, 2.0, 3.0, 4.0):
        x = torch.zeros(1, LAYOUT.size)
        x[0, at] = value
        out, state = stack(x, state)
        seen.append(out[0].tolist())
    assert seen == [[-1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [2.0, 1.0, -1.0], [3.0, 2.0, 1.0]]


@pytest.mark.parametrize(("first", "moved"), [(None, 0.0), (Pick("target", 0, 1), 0.5)])
def test_a_trend_is_the_last_two_moves_and_what_is_shown_and_starts_with_what_is_said_to_be_the_first(
    first: Pick | None, moved: float
) -> None:
    stack = FeatureStack((Trend(Pick("pressure"), first, gain=2.0),), LAYOUT, DT)
    state, seen = stack.reset, []
    x = torch.zeros(1, LAYOUT.size)
    x[0, LAYOUT.offset["target"]] = 0.5
    for value in (3.0, 4.0, 6.0, 6.0):
        x[0, LAYOUT.offset["pressure"]] = value
        out, state = stack(x, state)
        seen.append((0.5 * out[0]).tolist())
    assert seen == [[0.0, moved, 3.0], [moved, 1.0, 4.0], [1.0, 2.0, 6.0], [2.0, 0.0, 6.0]]


def test_the_best_reading_is_kept_with_the_way_back_to_where_it_was() -> None:
    best = Best(Pick("pressure"), Pick("target", 0, 2), worst=-20.0, gain=2.0, moved_gain=3.0)
    stack = FeatureStack((best,), LAYOUT, DT)
    state, seen = stack.reset, []
    moves = ((5.0, 5.0), (1.0, 0.0), (0.5, -2.0), (0.0, 4.0), (1.0, 1.0))
    for reading, move in zip((-3.0, -1.0, -1.5, -1.0, -0.5), moves, strict=True):
        x = torch.zeros(1, LAYOUT.size)
        x[0, LAYOUT.offset["pressure"]] = reading
        x[0, LAYOUT.offset["target"] :][:2] = torch.tensor(move)
        out, state = stack(x, state)
        seen.append((out[0] / torch.tensor([2.0, 3.0, 3.0])).tolist())
    home = [0.0, 0.0, 0.0]
    assert seen == [home, home, [-0.5, -0.5, 2.0], [0.0, -0.5, -2.0], home]


def test_a_rotation_matrix_turns_body_axes_into_the_world_and_knows_no_sign() -> None:
    stack = FeatureStack((RotationMatrix(Pick("attitude")),), LAYOUT, DT)
    x, at = torch.zeros(2, LAYOUT.size), LAYOUT.offset["attitude"]
    quarter_about_z = torch.tensor([2.0**-0.5, 0.0, 0.0, 2.0**-0.5])
    x[0, at : at + 4], x[1, at : at + 4] = quarter_about_z, -quarter_about_z
    expected = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    out, _ = stack(x, stack.reset.expand(2, -1))
    torch.testing.assert_close(out.view(2, 3, 3), expected.expand(2, 3, 3), atol=1e-6, rtol=0.0)


def test_a_difference_is_bounded_far_from_its_target() -> None:
    stack = FeatureStack((Difference(Pick("position"), Pick("target"), limit=0.6, gain=2.0),), LAYOUT, DT)
    x = torch.zeros(1, LAYOUT.size)
    x[0, LAYOUT.offset["position"] :][:3] = torch.tensor([100.0, 0.1, -0.6001])
    out, _ = stack(x, stack.reset)
    assert out[0].tolist() == pytest.approx([1.2, 0.2, -1.2])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Scale(Pick("position", 2, 2)), "channel position has 3 elements; 2..4 asked"),
        (Difference(Pick("position"), Pick("attitude"), 1.0), "sizes differ"),
        (RotationMatrix(Pick("position")), "four elements"),
        (Trend(Pick("position"), Pick("attitude")), "sizes differ"),
        (Best(Pick("position"), Pick("target"), -20.0), "it has 3 elements, and must have one"),
    ],
)
def test_a_feature_that_does_not_fit_its_channels_is_refused_when_it_is_bound(wrong: Feature, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FeatureStack((wrong,), LAYOUT, DT)
