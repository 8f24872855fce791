from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "boards"))

from tiny import firmware  # noqa: F401


@pytest.fixture(scope="session")
def lazy_dinosaur(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a dinosaur's policy that does nothing: its head is zero."""
    pytest.importorskip("mink")
    torch = pytest.importorskip("torch")
    import numpy as np

    from robostack.learn.trained import export_actor
    from robostack.nets.actor import Actor, ActorConfig
    from robostack_sim.avatar.body import Body
    from robostack_sim.avatar.character import Character
    from robostack_sim.avatar.config import AvatarConfig
    from robostack_sim.avatar.frames import Frames
    from robostack_sim.avatar.motions import Motion
    from robostack_sim.avatar.task import Avatar

    dinosaur = Character.load("dinosaur")
    body, config = Body.of(dinosaur), AvatarConfig(num_envs=1, character="dinosaur")
    rest = np.tile(body.pose(dinosaur.rest), (60, 1))
    task = Avatar(config, frames=Frames(body, [Motion("rest", rest, np.zeros((60, 3, 3)), True)]))
    actor = Actor(task, ActorConfig(hidden=(8,)))
    with torch.no_grad():
        actor.head.weight.zero_()
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    export_actor(task, actor, path, {"settings": asdict(config)})
    return path
