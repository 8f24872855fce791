"""Claim: no learner contains hand-written back-propagation; gradients come from autograd alone."""

import ast
from pathlib import Path

import pytest

import robostack.learn
import robostack.nets

OPERATORS = {"tanh.py"}
"""new operators, whose gradient tests hold against torch's own of the same function"""
ROOMS = (robostack.learn, robostack.nets)
FILES = [f for room in ROOMS for f in sorted(Path(room.__path__[0]).glob("*.py")) if f.name not in OPERATORS]
WRITTEN_BY_HAND = {"grad", "_grad", "adjoint", "grad_fn", "grad_input", "retain_grad", "register_hook"}


def gradients_by_hand(source: str) -> list[str]:
    """Definitions and assignments that only somebody who writes an adjoint needs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any("Function" in ast.unparse(b) for b in node.bases):
            found.append(f"class {node.name}")
        elif isinstance(node, ast.FunctionDef) and node.name in ("backward", "vjp", "adjoint"):
            found.append(f"def {node.name}")
        elif isinstance(node, ast.Attribute) and node.attr in WRITTEN_BY_HAND:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_gradients_come_from_autograd_alone(path):
    assert gradients_by_hand(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "class Step(torch.autograd.Function):\n    pass",
        "def backward(ctx, g):\n    return g",
        "weight.grad = x.T @ error",
        "wp.launch(kernel, adjoint=True); kernel.adjoint(x)",
    ],
)
def test_a_gradient_written_by_hand_is_found(source):
    assert gradients_by_hand(source)
