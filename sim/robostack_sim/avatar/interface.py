"""What an avatar's policy reads and moves: channels, action, envelope and preprocessing, from the body."""

from __future__ import annotations

from robostack.features import Difference, Feature, History, Pick, Scale
from robostack.spec import ActionChannel, Channel, Envelope, RampTo
from robostack.task import Parameter
from robostack_sim.avatar.body import SOLES, Body
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.motion.parts import TRACKED

REMEMBERED = 4
"""samples of head and hands before the present one"""
RAMP_RAD_S = 2.0
"""at which a drive goes back to inverse kinematics alone when the policy fails"""
AXES = ("x", "y", "z")
HEADING = "ahead, left, up of the hips' heading"


def channels(body: Body, kinematic: bool) -> tuple[Channel, ...]:
    """In the order of the packed observation."""
    n = len(body.joints)
    named, moved = (tuple(j.lower() for j in names) for names in (body.joints, driven(body, kinematic)))
    spread = lambda *names: tuple(f"{name}_{a}" for name in names for a in AXES)  # noqa: E731

    def ways(name: str, of: tuple[str, ...], unit: str, most: float) -> Channel:
        elements = spread(*of)
        return Channel(name=name, shape=(len(elements),), elements=elements, unit=unit, frame=HEADING, low=(-most,),
                       high=(most,), max_age_s=0.2)  # fmt: skip

    def joint(name: str, unit: str, most: float) -> Channel:
        return Channel(name=name, shape=(n,), elements=named, unit=unit, low=(-most,), high=(most,), max_age_s=0.2)

    measured = [
        Channel(name="hips_height", shape=(1,), unit="m", low=(-1.0,), high=(10.0,), max_age_s=0.2),
        ways("hips_axes", ("nose", "up"), "1", 1.1),
        ways("hips_velocity", ("hips",), "m/s", 50.0),
        ways("hips_rate", ("hips",), "rad/s", 200.0),
        joint("joint_position", "rad", 10.0),
        joint("joint_velocity", "rad/s", 500.0),
        ways("feet_position", SOLES, "m", 10.0),
        ways("com_position", ("com",), "m", 10.0),
        ways("com_velocity", ("com",), "m/s", 50.0),
        ways("led_position", TRACKED, "m", 10.0),
        ways("tracked_position", TRACKED, "m", 20.0),
    ]  # fmt: skip
    if kinematic:
        measured.append(joint("target_pose", "rad", 10.0))
    hidden = lambda name, size, unit="1": Channel(name=name, shape=(size,), unit=unit, privileged=True)  # noqa: E731
    return (
        *measured,
        Channel(name="applied_action", shape=(len(moved),), elements=moved, unit="rad", low=(-10.0,), high=(10.0,)),
        hidden("reference_pose", n, "rad"),
        hidden("reference_root", 6, "m"),
        hidden("reference_velocity", body.model.nv),
        hidden("reference_tracked", 9, "m"),
        hidden("sole_force", 2),
        hidden("stance_error", 6, "m"),
        hidden("push", 2, "m/s2"),
    )


def driven(body: Body, kinematic: bool) -> tuple[str, ...]:
    """Joints that a policy moves: those that balance, or all where nothing else leads them."""
    return tuple(body.joints[k] for k in body.balancing) if kinematic else body.joints


def action(body: Body, config: AvatarConfig) -> ActionChannel:
    """Added to the pose of inverse kinematics: neutral is that alone."""
    joints, most = driven(body, config.kinematic), config.offset_rad * (1.0 if config.kinematic else 2.0)
    n = len(joints)
    return ActionChannel(name="drive_offset", elements=tuple(j.lower() for j in joints), unit="rad",
                         low=(-most,) * n, high=(most,) * n, neutral=(0.0,) * n)  # fmt: skip


def envelope(action: ActionChannel) -> Envelope:
    """A policy that fails goes back to inverse kinematics alone, smoothly."""
    n = action.size
    return Envelope(fallback=(RampTo(target=(0.0,) * n, rate_per_s=(RAMP_RAD_S,) * n),))


def features(kinematic: bool) -> tuple[Feature, ...]:
    """The state, how far head and hands are from where they should be, how these went there, and the pose's error."""
    tracked = Pick("tracked_position")
    found: list[Feature] = [
        *(Scale(Pick(name)) for name in ("hips_height", "hips_axes", "hips_velocity", "hips_rate", "joint_position")),
        Scale(Pick("joint_velocity"), gain=0.1),
        *(Scale(Pick(name)) for name in ("feet_position", "com_position", "com_velocity")),
        Difference(tracked, Pick("led_position"), limit=2.0, gain=5.0),
        Scale(tracked),
        History(tracked, REMEMBERED),
        Scale(Pick("applied_action")),
    ]
    if kinematic:
        found.append(Difference(Pick("target_pose"), Pick("joint_position"), limit=4.0, gain=2.0))
    return tuple(found)


def parameters(config: AvatarConfig) -> tuple[Parameter, ...]:
    """Which stretch of which motion an episode is, as a share of the way through all of them, and how hard it is
    pushed: what a curriculum (prioritised level replay, say) may say."""
    return Parameter("start", 0.0, 1.0, "1"), Parameter("push_m_s", 0.0, config.push_m_s or 0.35, "m/s")
