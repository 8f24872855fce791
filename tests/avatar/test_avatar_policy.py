"""Claims: a policy of an avatar learns and exports as any other, and a teacher's student does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("mink")
pytest.importorskip("torch")

from robostack.export.onnx import load_policy
from robostack.learn.trained import export_actor
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.runtime.runner import Runner
from robostack_sim.avatar.body import Body
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.frames import Frames
from robostack_sim.avatar.learning import LEARNER, TERMS
from robostack_sim.avatar.motions import retargeted, synthetic
from robostack_sim.avatar.task import Avatar

SMALL = replace(LEARNER, iterations=2, steps=4, actor=ActorConfig(hidden=(16,)), critic=CriticConfig(hidden=(16,)))


def test_every_reward_term_has_a_critic_and_the_file_is_the_policy(tmp_path):
    body = Body.of(Character.load("human"))
    led = synthetic(0)
    task = Avatar(AvatarConfig(num_envs=8), frames=Frames(body, [retargeted(body, replace(led, poses=led.poses[:60]))]))
    learner = SMALL.learner(task)
    for _ in range(2):
        scalars = learner.iterate()
    assert {"reward/imitation", "reward/contact", "reward/action", "kl"} <= scalars.keys()
    policy = export_actor(task, learner.actor, tmp_path / "policy.onnx")
    assert policy.spec.action_names == tuple(body.joints[k].lower() for k in body.balancing)
    assert len(policy.spec.provenance["machine"]["drive_stiffness"]) == len(body.joints)
    runner, (obs, _) = Runner(policy), task.reset(3)
    seen = {c.name: obs[c.name].numpy() for c in policy.spec.observations}
    action, _ = runner.infer(seen, obs["applied_action"].numpy(), runner.reset(8))
    ours, _ = learner.actor(obs.flat, learner.actor.initial_state(8))
    assert action == pytest.approx(ours.detach().numpy(), abs=1e-4)


def test_a_teacher_that_sees_all_is_trained_by_the_tasks_own_learner_and_its_student_is_exported(tmp_path, monkeypatch):
    from robostack import cli

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "robostack_sim.avatar.motions.synthetic", lambda k: replace(synthetic(k), poses=synthetic(k).poses[:160])
    )
    monkeypatch.setattr("robostack.learn.trainer.EVALUATION_ENVS", 4)
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    line = (
        "train avatar --character dinosaur --clips --synthetic 1 --num-envs 4 --learner.iterations 2 --learner.steps 4 "
        f"--learner.minibatches 2 --learner.actor.hidden 16 --learner.actor.privileged --run-folder {teacher}"
    )
    assert cli.main(line.split()) == 0
    config = json.loads((teacher / "config.json").read_text())
    assert config["algorithm"] == "ppo" and [name for name, _ in config["learner"]["terms"]] == [n for n, _ in TERMS]
    line = f"distill {teacher} --learner.iterations 2 --learner.horizon 4 --student.hidden 16 --run-folder {student}"
    assert cli.main(line.split()) == 0 and cli.main(["export", str(student)]) == 0
    seen = {c.name for c in load_policy(student / "exported" / "policy.onnx").spec.observations}
    assert "tracked_position" in seen and "reference_pose" not in seen
