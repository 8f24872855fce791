"""Task: the batched environment that every learner, evaluator and adapter sees.

Names and order follow Isaac Lab's DirectRLEnv: `step` advances physics, counts the step, finds who is done,
computes rewards, resets the done ones in the same step and returns post-reset observations; the observation an
episode ended on is in `extras["final_obs"]`. The plant inside is envelope then physics, so that limits are
trained with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robostack.spec import ActionChannel, Channel, ContractError, Envelope

if TYPE_CHECKING:
    import torch

    from robostack.evaluate.flight import Flight
    from robostack.features import Feature


class Obs(Mapping[str, "torch.Tensor"]):
    """Channels by name over one packed tensor.

    `flat` is (num_envs, total) float32; `obs["position"]` is a (num_envs, *shape) view of it. Fused kernels and
    learners that take many channels use `flat` and `layout`; everyone else uses the names.
    """

    def __init__(self, flat: torch.Tensor, layout: Layout) -> None:
        self.flat = flat
        self.layout = layout

    def __getitem__(self, name: str) -> torch.Tensor:
        start, channel = self.layout.offset[name], self.layout.channel[name]
        return self.flat[..., start : start + channel.size].unflatten(-1, channel.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.channel)

    def __len__(self) -> int:
        return len(self.layout.channel)


class Layout:
    """Where each channel lies in a packed observation: `offset[name]` in elements, `size` in all."""

    def __init__(self, channels: tuple[Channel, ...]) -> None:
        self.channel = {c.name: c for c in channels}
        self.offset: dict[str, int] = {}
        self.size = 0
        for c in channels:
            self.offset[c.name] = self.size
            self.size += c.size

    def indices(self, names: tuple[str, ...]) -> list[int]:
        """Element indices of `names`, in their order."""
        return [i for n in names for i in range(self.offset[n], self.offset[n] + self.channel[n].size)]


class Unroll(ABC):
    """A differentiable window over a task: `begin` once, `step` up to `horizon` times, `commit` once.

    Buffers are reused from window to window: a `backward` through an older window raises RuntimeError.
    """

    restarted: torch.Tensor
    """(num_envs,) bool: what the last `begin` reset, so that a policy resets its state there too"""
    success: torch.Tensor
    """(num_envs,) bool: which of the episodes that it ended were a success"""

    @abstractmethod
    def begin(self) -> Obs:
        """Resets the environments that need it (only here) and returns the first observation, detached."""

    @abstractmethod
    def step(self, action: torch.Tensor) -> tuple[Obs, torch.Tensor, torch.Tensor]:
        """(num_envs, action_size) SI action -> obs, reward (num_envs,), alive (num_envs,) bool.

        Observation and reward are connected to the action and to earlier steps by autograd.
        """

    @abstractmethod
    def commit(self) -> None:
        """Keeps the window's last state as the start of the next one, detached."""


@dataclass(frozen=True)
class Parameter:
    """A quantity of the plant that training may randomise: uniform (or log-uniform) in [low, high]."""

    name: str
    low: float
    high: float
    unit: str
    log: bool = False

    def __post_init__(self) -> None:
        if not (-math.inf < self.low <= self.high < math.inf and (self.low > 0.0 or not self.log)):
            most = "two rising positive numbers, as it is log-uniform" if self.log else "two rising finite numbers"
            raise ContractError(f"parameter {self.name}: its range [{self.low}, {self.high}] must be {most}")


@dataclass(frozen=True)
class Bar:
    """What a policy must reach to be released (`robostack qualify`): a figure of a probe, a share of 1 at least.

    Where the figure is swept, everywhere `within` (low, high) of what is swept; None: wherever it is.
    """

    figure: str
    """nominal, a parameter's name, worst_case, rate, latency, ...: docs/qualify.md"""
    least: float
    within: tuple[float, float] | None = None


ParameterSource = Callable[["torch.Tensor"], Mapping[str, "torch.Tensor"]]
"""(num_envs,) bool, which episodes start -> parameters of theirs by name, (num_envs,) each, in the parameter's unit;
other rows mean nothing"""


@dataclass(frozen=True)
class Scenario:
    """One flight of a qualified machine: how to make its task (one environment), and what to call it.

    `prepare` sets the task up after its reset (a reference, a start). `about` goes into the flight's log.
    """

    name: str
    kind: str
    seconds: float
    make: Callable[[], Task]
    prepare: Callable[[Task], None] = lambda task: None
    seed: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    changes: bool = False
    """its actions are changes: without one, and when it is stopped, the machine stays as it is"""


class Task(ABC):
    """See the module's docstring. Tensors live on `device`; sizes are fixed for the task's life."""

    name: str
    Config: type
    """Frozen dataclass of everything that can be set, `num_envs` and `device` among it; the CLI is made from it."""
    presets: Mapping[str, Any] = {}
    """Settings of kind `Config` by name, where others' experiments or machines call for more than a few flags."""
    config: Any
    num_envs: int
    device: torch.device
    step_dt: float
    max_episode_length: int
    episode_length_buf: torch.Tensor
    channels: tuple[Channel, ...]
    """Every channel in the order of the packed observation, `applied_action` and privileged ones among them."""
    actions: tuple[ActionChannel, ...]
    envelope: Envelope
    features: tuple[Feature, ...]
    """The task's own preprocessing for an actor (robostack.features); `()` leaves raw channels."""
    critic_channels: tuple[str, ...]
    modalities: Mapping[str, tuple[str, ...]] = {}
    """Channels of an actor by what it senses, in one word: `robostack distill --student NAME`."""
    obs_delay_s: tuple[float, float] = (0.0, 0.0)
    action_delay_s: tuple[float, float] = (0.0, 0.0)
    parameters: tuple[Parameter, ...] = ()
    machine: Mapping[str, float | tuple[float, ...]] = {}
    """Numbers of the simulated machine, in SI, that its firmware needs beyond the contract (`machine.h`)."""

    @abstractmethod
    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        """Restarts every environment. A seed makes everything that follows reproducible to the bit."""

    @abstractmethod
    def step(self, action: torch.Tensor) -> tuple[Obs, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """(num_envs, action_size) -> obs, reward, terminated, truncated, extras.

        `extras`: `final_obs` (an Obs, valid on done rows only), `reward_terms` (name -> (num_envs,)),
        `success` (num_envs,) bool. Returned tensors alias internal buffers until the next step.
        """

    @abstractmethod
    def observe(self) -> Obs:
        """What the sensors say of the present state, with fresh noise; advances nothing."""

    def scenarios(self) -> Sequence[Scenario]:
        """Flights that show what a policy of this task can do, for `robostack fly`; none by default."""
        return ()

    def snapshot(self) -> Mapping[str, torch.Tensor]:
        """Physical quantities of the present state for a log, (num_envs, n) each, true and without noise."""
        return {}

    def snapshot_units(self) -> Mapping[str, str]:
        """Unit of each of them."""
        return {}

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        """Figures of flown scenarios as rows of a table: what, value, unit, bar, better, reference."""
        return []

    def judge_episodes(self, ends: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The task's own figures of evaluated episodes, as such rows. `ends` has what `extras` held when each ended:
        numpy (episodes,) by name, of every entry that is (num_envs,); NaN where a reward was not finite."""
        return []

    def qualification(self) -> Sequence[Bar]:
        """What a policy must reach to be released, by the task's own file; none: it cannot be qualified."""
        return ()

    def at_rate(self, rate: float) -> Task:
        """The same task with so many control periods in the time of one. Raises TypeError where no time passes."""
        raise TypeError(f"task {self.name!r} has no other control rate")

    @abstractmethod
    def evaluation(self, num_envs: int) -> Task:
        """A task of its own that asks what a trained policy is judged by."""

    @abstractmethod
    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that a resumed run needs to go on to the bit; the tensors alias internal buffers."""

    @abstractmethod
    def load_state_dict(self, kept: dict[str, torch.Tensor]) -> None:
        """Takes up what `state_dict` gave, in place."""

    def draw_parameters_from(self, source: ParameterSource) -> None:
        """Lets `source` say the parameters of every episode that starts from now on: in `reset`, in `step` and in an
        unroll's `begin`. What it does not name is drawn by the task. Raises TypeError where the task cannot."""
        raise TypeError(f"task {self.name!r} draws its own parameters only; train it without a curriculum")

    def scalars(self) -> Mapping[str, float]:
        """Figures of what is trained on, for the log; none by default."""
        return {}

    def unroll(self, horizon: int) -> Unroll:
        """A differentiable window of `horizon` steps. Raises TypeError where the physics has no gradient."""
        raise TypeError(f"task {self.name!r} has no gradient; train it with a learner that needs none")

    @classmethod
    def learner(cls) -> Any:
        """Settings (robostack.learn) that it is trained with where none are asked for; None: the library's own."""
        return None

    @property
    def actor_channels(self) -> tuple[Channel, ...]:
        """What a deployed policy may see, in contract order; `applied_action` is an input of its own."""
        return tuple(c for c in self.channels if not c.privileged and c.name != "applied_action")

    @property
    def action_size(self) -> int:
        return sum(a.size for a in self.actions)
