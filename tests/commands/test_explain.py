"""Claims: the contract on the screen is the one in the file, an element a row, so that a person can tick it off."""

import re

import numpy as np
import pytest

from robostack import cli
from robostack.commands import explain
from robostack.export.onnx import export_onnx
from robostack.spec import Channel


class Still:
    """Commands zero, whatever is measured."""

    def __init__(self, inputs, outputs):
        self.weights = np.zeros((inputs, outputs), np.float32)

    def onnx(self, graph, inputs, applied_action, state):
        return graph.op("Gemm", next(iter(inputs.values())), graph.constant(self.weights)), None

    def __call__(self, observation, applied_action, state, /):
        return np.zeros_like(applied_action), None


@pytest.fixture(scope="module")
def shown(make_spec, tmp_path_factory):
    """(policy, its file)"""
    image = Channel(name="image", shape=(8, 8), low=(0.0,), high=(1.0,), frame="camera")
    spec = make_spec()
    spec = spec.model_copy(update={"observations": (*spec.observations, image)})
    actor = Still(spec.observations[0].size, spec.action_size)
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    policy = export_onnx(actor, spec, path, reference=actor)
    return policy, path


def rows(text, title):
    """Cells of a table's rows."""
    block = text.split(title)[1].split("\n\n\n")[0]
    return [re.split(r"\s{2,}", line.strip()) for line in block.splitlines() if re.match(r"\s+\d", line)]


def test_every_element_is_a_row_in_the_order_of_the_packed_vector(shown, capsys):
    policy, path = shown
    assert cli.main(["explain", str(path)]) == 0
    text = capsys.readouterr().out
    measured = [row for row in rows(text.split("Out: what")[0], "In: what the machine measures")]
    elements = [name for c in policy.spec.observations if c.size < explain.MANY for name in c.element_names]
    assert [int(row[0]) for row in measured[: len(elements)]] == [*range(len(elements))]
    named = [row[1] if row[1] in elements else row[2] for row in measured[: len(elements)]]
    assert named == elements
    commanded = rows(text.split("When something")[0], "Out: what the actuator takes")
    assert [int(row[0]) for row in commanded] == [0, 1, 2, 3]
    assert [row[1] if k else row[2] for k, row in enumerate(commanded)] == list(policy.spec.action_names)


def test_a_channel_of_many_is_shown_by_its_first_and_its_last(shown, capsys):
    assert cli.main(["explain", str(shown[1])]) == 0
    text = capsys.readouterr().out
    assert "image_0" in text and "image_63" in text and "image_30" not in text
    assert f"… {64 - explain.FEW - 1} more" in text


def test_units_that_change_within_a_channel_are_shared_out():
    channel = Channel(name="setpoint", shape=(9,), unit="m, m/s, m/s2", low=(-1.0,), high=(1.0,))
    assert explain._units(channel) == ["m"] * 3 + ["m/s"] * 3 + ["m/s2"] * 3
    assert explain._units(channel.model_copy(update={"shape": (4,)})) == ["m, m/s, m/s2"] * 4


def test_the_digests_are_whole(shown, capsys):
    policy, path = shown
    assert cli.main(["explain", str(path)]) == 0
    text = capsys.readouterr().out
    for digest in (policy.policy_hash, policy.file_sha256, policy.spec.interface_hash):
        assert digest in text
