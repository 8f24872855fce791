"""The image that flies is held against the policy it was built from, over its own link."""

import re
from pathlib import Path

import numpy as np
import pytest
from small_policy import small_policy

from robostack import registry
from robostack.export.calibration import calibrated
from robostack.export.firmware import export_firmware
from robostack.export.flight_image import flight_images, recorded
from robostack.export.host import HostPolicy, ToolMissingError
from robostack.export.onnx import LoadedPolicy
from robostack.export.verify import check, verify
from robostack.spec import ContractError


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    return small_policy(tmp_path / "policy.onnx")


@pytest.fixture
def firmware(policy: LoadedPolicy, tmp_path: Path) -> Path:
    export_firmware(policy, tmp_path / "firmware")
    return tmp_path / "firmware"


def test_every_emulated_boards_image_computes_the_same_bits_as_host_c(
    policy: LoadedPolicy, firmware: Path, board_tools: None
) -> None:
    results = verify(policy, ("c_host",), extra=flight_images(policy, firmware), random_rows=10)
    check(results, missing_is_failure=True)
    images = [r for r in results if r.port.startswith("flight image")]
    assert [(r.port, r.count, r.bit_identical) for r in images] == [
        ("flight image, netduinoplus2", 16, True),
        ("flight image, host", 16, True),
    ]


def test_an_int16_image_says_so_and_computes_the_same_bits_as_host_c(policy: LoadedPolicy, tmp_path: Path) -> None:
    scaled = calibrated(policy)
    export_firmware(scaled, tmp_path / "firmware", "int16")
    found = recorded(scaled, tmp_path / "firmware", registry.load("board", "host"))
    assert found.precision == "int16"
    assert scaled.spec.self_test
    inputs = np.float32(scaled.spec.self_test.inputs)
    assert found.outputs.tobytes() == HostPolicy(scaled, "int16").rows(inputs).tobytes()
    assert found.outputs.tobytes() != HostPolicy(scaled).rows(inputs).tobytes()


def test_an_image_of_another_policy_fails_by_its_hash(policy: LoadedPolicy, tmp_path: Path) -> None:
    other = small_policy(tmp_path / "other.onnx", seed=1)
    export_firmware(other, tmp_path / "firmware")
    with pytest.raises(ContractError, match=f"policy_hash: the policy has {policy.policy_hash[:12]}"):
        recorded(policy, tmp_path / "firmware", registry.load("board", "host"))


def test_a_weight_that_was_changed_after_export_is_found(policy: LoadedPolicy, firmware: Path) -> None:
    """The hash in the image is still the policy's: only what it computes gives it away."""
    source = firmware / "generated" / "policy.c"
    text, changes = re.subn(r"(weights_\d+\[\d+\] = \{\s*)[^,]+,", r"\g<1>0x1.8p+1f,", source.read_text(), count=1)
    assert changes == 1
    source.write_text(text)
    results = verify(policy, ("c_host",), extra=flight_images(policy, firmware), random_rows=10)
    changed = next(r for r in results if r.port == "flight image, host")
    assert (changed.status, changed.bit_identical) == ("failed", False)


def test_an_image_that_does_not_build_fails_with_the_compilers_words(policy: LoadedPolicy, firmware: Path) -> None:
    (firmware / "generated" / "policy.c").write_text("int broken\n")
    results = verify(policy, ("c_host",), extra=flight_images(policy, firmware), random_rows=10)
    assert results[-1].status == "failed"
    assert "policy.c" in results[-1].note


def test_a_board_without_its_tools_is_missing_and_says_what_installs_them(
    policy: LoadedPolicy, firmware: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissingError, match="apt-get install"):
        recorded(policy, firmware, registry.load("board", "host"))


def test_the_rows_are_what_host_c_computes(policy: LoadedPolicy, firmware: Path) -> None:
    assert policy.spec.self_test
    inputs = np.float32(policy.spec.self_test.inputs)
    outputs = recorded(policy, firmware, registry.load("board", "host")).outputs
    assert outputs.tobytes() == HostPolicy(policy).rows(inputs).tobytes()
    assert not np.array_equal(outputs, HostPolicy(small_policy(firmware / "o.onnx", seed=1)).rows(inputs))
