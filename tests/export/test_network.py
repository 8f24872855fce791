import numpy as np

from robostack.export.graph import Graph
from robostack.export.network import entrances, network, scalings


def test_a_matrix_among_the_features_is_not_the_network_and_the_head_without_tanh_is() -> None:
    graph = Graph()
    x = graph.input("x", (4,))
    matrix = graph.op("Gemm", graph.op("Mul", x, x), graph.constant(np.eye(4, dtype=np.float32)))
    features = graph.op("Concat", matrix, x, axis=1)
    centred = graph.op("Sub", features, graph.constant(np.ones(8, np.float32)))
    scaled = graph.op("Mul", centred, graph.constant(np.full(8, 2, np.float32)))
    hidden = graph.op("Gemm", scaled, graph.constant(np.ones((8, 3), np.float32)))
    tanh = graph.op("Tanh", hidden)
    head = graph.op("Gemm", tanh, graph.constant(np.ones((3, 2), np.float32)))
    graph.output("action", graph.op("Mul", head, graph.constant(np.float32(5.0))))
    proto = graph.proto()
    assert network(proto) == {hidden, tanh, head}
    assert entrances(proto) == (centred,)  # the first layer's weights take the factor 2 in


def test_a_product_is_taken_in_only_where_one_layer_alone_reads_it() -> None:
    def of(other_reader: bool, constant: bool = True) -> int:
        graph = Graph()
        x = graph.input("x", (2,))
        factor = graph.constant(np.float32([2, 3])) if constant else x
        product = graph.op("Mul", factor, x)
        y = graph.op("Gemm", product, graph.constant(np.eye(2, dtype=np.float32)))
        graph.output("y", graph.op("Add", y, product) if other_reader else y)
        return len(scalings(graph.proto()))

    assert of(other_reader=False) == 1
    assert of(other_reader=True) == 0
    assert of(other_reader=False, constant=False) == 0
