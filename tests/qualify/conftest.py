"""The slider's policy, and its task as installed."""

from __future__ import annotations

import pytest
from slider import Slider, install_slider, slider_policy

from robostack.export.onnx import LoadedPolicy
from robostack.qualify.bench import Bench


@pytest.fixture(scope="session")
def slider_file(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    return slider_policy(tmp_path_factory.mktemp("slider") / "policy.onnx")


@pytest.fixture
def slider_bench(slider_file: LoadedPolicy) -> Bench:
    return Bench(slider_file, Slider(), episodes=32, generations=3)


@pytest.fixture
def slider_installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install_slider(tmp_path_factory.mktemp("site"), monkeypatch)
