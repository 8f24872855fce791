"""Claims: a policy that comes along fits its character and does again what lies beside it; figures are of one group."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("mink")
pytest.importorskip("torch")

from robostack.export.onnx import load_policy
from robostack_sim.avatar.body import Body
from robostack_sim.avatar.character import FOLDER, Character
from robostack_sim.avatar.interface import driven
from robostack_sim.avatar.judged import AGAIN, ALONG, Figures, again, trained_as

SHIPPED = sorted(p.parent.name for p in FOLDER.glob("*/policy.onnx"))
ONE = 100.0 / (AGAIN // 2)
"""% that one stretch is, of those that are pushed or of those that are not: another processor rounds otherwise"""
OFF_CM = 1.5


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", SHIPPED)
def test_a_policy_that_comes_along_fits_its_character_and_does_again_what_lies_beside_it(name):
    character = Character.load(name)
    policy, kept = load_policy(character.policy), json.loads(character.policy.with_suffix(".json").read_text())
    assert policy.policy_hash == kept["policy_hash"] and len(policy.data) < 1e6
    assert trained_as(policy).character == name
    body, machine = Body.of(character), policy.spec.provenance["machine"]
    assert policy.spec.action_names == tuple(j.lower() for j in driven(body, kinematic=True))
    assert machine["drive_stiffness"] == pytest.approx(body.model.actuator_gainprm[:, 0])
    assert machine["drive_damping"] == pytest.approx(-body.model.actuator_biasprm[:, 2])
    said, found = kept["again"], again(policy, kept["seed"])
    assert (said["clips"], said["episodes"]) == ([*ALONG], AGAIN)
    assert found.stands == pytest.approx(said["stands"], abs=ONE + 1e-6)
    assert found.pushed == pytest.approx(said["pushed"], abs=ONE + 1e-6)
    assert (found.head_cm, found.hands_cm) == pytest.approx((said["head_cm"], said["hands_cm"]), abs=OFF_CM)


def test_what_is_off_is_of_those_that_are_not_pushed():
    found = Figures.of({
        "pushed": np.array([0.0, 1.0, 0.0, 1.0]), "success": np.array([True, False, True, False]),
        "head_error_m": np.array([0.01, 9.0, 0.03, 9.0]), "hand_error_m": np.array([0.05, 9.0, 0.07, 9.0]),
    })  # fmt: skip
    assert (found.stands, found.pushed) == (100.0, 0.0)
    assert (found.head_cm, found.hands_cm) == pytest.approx((2.0, 6.0))
