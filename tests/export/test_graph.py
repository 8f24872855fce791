import numpy as np
import pytest

from robostack.export.graph import Graph
from robostack.spec import ContractError


def tanh_layer() -> Graph:
    graph = Graph()
    x = graph.input("position", (3,))
    weights, bias = graph.constant(np.ones((2, 3), np.float32)), graph.constant(np.zeros(2, np.float32))
    graph.output("action", graph.op("Tanh", graph.op("Gemm", x, weights, bias, transB=1)))
    return graph


def test_the_same_calls_give_the_same_bytes() -> None:
    first, second = (tanh_layer().proto().SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_equal_constants_share_one_initializer_and_unequal_shapes_do_not() -> None:
    graph = Graph()
    assert graph.constant(np.float32([1.0])) == graph.constant(np.float32([1.0]))
    assert graph.constant(np.float32([1.0])) != graph.constant(np.float32(1.0))
    assert graph.constant(np.float32([0.0])) != graph.constant(np.float32([-0.0]))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda g, x: g.op("Gemm", x, g.constant(np.ones((2, 4), np.float32)), transB=1),
            "4 weights a row for 3",
        ),
        (lambda g, x: g.op("Gemm", x, g.constant(np.ones((3, 2), np.float32)), alpha=2.0), "alpha"),
        (lambda g, x: g.op("Gather", x, g.constant(np.array([3])), axis=1), "index 3 into 3"),
        (lambda g, x: g.op("Gather", x, g.constant(np.array([0]))), "axis"),
        (
            lambda g, x: g.op("Add", x, g.op("Gather", x, g.constant(np.array([0])), axis=1)),
            "3 elements with 1",
        ),
        (lambda g, x: g.op("Mul", x, g.constant(np.ones(2, np.float32))), "constant operand"),
        (lambda g, x: g.op("Mul", *[g.constant(np.float32(1.0))] * 2), "both operands are constants"),
        (lambda g, x: g.op("Clip", x, *(g.constant(np.float32(v)) for v in (1.0, -1.0))), "above max"),
        (lambda g, x: g.op("Tanh", g.input("image", (2, 2))), "Flatten"),
        (lambda g, x: g.op("Relu", x), "operator Relu is not in the profile"),
        (lambda g, x: g.op("Tanh", "missing"), "unknown value 'missing'"),
    ],
)
def test_a_mistake_is_raised_where_it_is_made_and_names_the_node(build, says) -> None:  # type: ignore[no-untyped-def]
    graph = Graph()
    x = graph.input("position", (3,))
    with pytest.raises(ContractError, match=says) as raised:
        build(graph, x)
    assert any(f"{op}_" in str(raised.value) for op in ("Gemm", "Gather", "Add", "Mul", "Clip", "Tanh", "Relu"))


def test_a_constant_with_nan_is_refused() -> None:
    with pytest.raises(ContractError, match="NaN"):
        Graph().constant(np.float32([1.0, np.nan]))


def test_a_name_declared_twice_is_refused() -> None:
    graph = tanh_layer()
    with pytest.raises(ContractError, match="'position' is declared twice"):
        graph.input("position", (3,))


def test_shapes_are_known_as_the_graph_grows() -> None:
    graph = Graph()
    image = graph.input("image", (4, 5))
    assert graph.shape(image) == (4, 5)
    assert graph.size(graph.op("Flatten", image)) == 20
