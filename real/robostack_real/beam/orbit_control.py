"""Classical orbit correction, as policies: what a learned controller has to beat, and what to run where it does not.

Each is a `robostack.runtime.controller.Policy` with a `reset` state (S,): it takes the channels of `beam_orbit` by
name and answers with changes of corrector currents, for one machine or a batch of them, (..., R) readings and (..., C)
correctors. So a `Controller` puts the same envelope around any of them and around an exported network. NumPy alone.

All solve the same least squares for the change d of the currents that should take the error e (m) away,

    d = argmin |e + J d|2 + d' D d,      D = R E[dJ' dJ] / R

in which D, the expected square of what is wrong with the matrix J (m/A), damps the directions that it is not known in:
truncation of singular values, but smooth, and by the noise rather than by hand. They differ in where J comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Answer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]


def damped_step(matrix: Array, damping: Array, error: Array, step_max_a: float) -> Array:
    """(..., R, C), (..., C, C), (..., R) -> (..., C) A, made shorter as a whole until no corrector moves further than
    `step_max_a`."""
    normal = matrix.swapaxes(-1, -2) @ matrix + damping
    step = -np.linalg.solve(normal, (matrix.swapaxes(-1, -2) @ error[..., None]))[..., 0]
    return step * np.minimum(1.0, step_max_a / np.maximum(np.abs(step).max(-1, keepdims=True), 1e-12))


class MatrixCorrection:
    """SVD correction with a given matrix: the model's (R, C), or one measured on the machine, (N, R, C) for N of them.

    `matrix_error` (m/A) is the standard deviation of what is wrong with an element of it: of a matrix measured by moves
    of a amperes, sqrt(2) bpm_noise / a. `gain` is the share of a correction that is taken.
    """

    reset = np.zeros(0, np.float32)

    def __init__(self, response: npt.ArrayLike, step_max_a: float, matrix_error: float, gain: float = 0.8) -> None:
        self.response = np.asarray(response, float)
        self.step_max_a, self.gain = step_max_a, gain
        readings, correctors = self.response.shape[-2:]
        self._damping = readings * matrix_error**2 * np.eye(correctors)

    def infer(self, observation: Mapping[str, Any], applied_action: Any, state: Any = None, /) -> Answer:
        step = damped_step(self.response, self._damping, _error(observation), self.step_max_a)
        return (self.gain * step).astype(np.float32), None


class MeasuredCorrection:
    """Moves one corrector after the other by `probe_a` and back, then corrects with the matrix that this gave."""

    def __init__(
        self, response: npt.ArrayLike, step_max_a: float, probe_a: float, bpm_noise_m: float, gain: float = 0.8
    ) -> None:
        readings, correctors = np.shape(response)
        self._state = _State(count=(), first=(readings,), response=(readings, correctors))
        self.reset = self._state.zeros()
        self.step_max_a, self.probe_a, self.gain = step_max_a, probe_a, gain
        self._damping = readings * 2.0 * (bpm_noise_m / probe_a) ** 2 * np.eye(correctors)

    def infer(self, observation: Mapping[str, Any], applied_action: Any, state: Any, /) -> Answer:
        s, correctors = self._state.unpack(state), np.shape(applied_action)[-1]
        reading = _wide(observation["bpm_position"])
        count = s["count"][..., None]
        first = np.where(count == 0, reading, s["first"])
        moved = np.arange(correctors) == count - 1  # (..., C): whose probe this reading shows
        seen = ((reading - first) / self.probe_a)[..., None]
        response = np.where(moved[..., None, :], seen, s["response"])
        probe = self.probe_a * (1.0 * (np.arange(correctors) == count) - moved)
        known = np.where(count[..., None] >= correctors, response, np.eye(*response.shape[-2:]))
        step = self.gain * damped_step(known, self._damping, _error(observation), self.step_max_a)
        action = np.where(count > correctors, step, probe)
        return action.astype(np.float32), self._state.pack(count=s["count"] + 1.0, first=first, response=response)

    def measured(self, state: Any) -> Array:
        """(..., R, C) m/A: the matrix in a state, of as many columns as have been probed."""
        return self._state.unpack(state)["response"]


class _Learning:
    """What learns the matrix from its own moves: predicts what the last one did, and remembers the best orbit so far,
    to which it goes back when the orbit has become worse by `retreat`."""

    def __init__(self, response: npt.ArrayLike, step_max_a: float, retreat: float, **shapes: tuple[int, ...]) -> None:
        self.response = np.asarray(response, float)
        readings, correctors = self.response.shape
        self.step_max_a, self.retreat = step_max_a, retreat
        self._state = _State(count=(), last=(readings,), best=(readings,), best_currents=(correctors,), **shapes)

    def infer(self, observation: Mapping[str, Any], applied_action: Any, state: Any, /) -> Answer:
        s, reading, moved = self._state.unpack(state), _wide(observation["bpm_position"]), _wide(applied_action)
        currents, target = _wide(observation["corrector_current"]), _wide(observation["target_orbit"])
        started = s["count"][..., None] > 0
        last = np.where(started, s["last"], reading)
        learned = self._learn(s, np.where(started, moved, 0.0), reading - last)
        size, best = (np.square(x - target).mean(-1, keepdims=True) for x in (reading, s["best"]))
        better = ~started | (size < best)
        kept = np.where(better, reading, s["best"])
        kept_currents = np.where(better, currents, s["best_currents"])
        lost = ~better & (size > self.retreat**2 * best)
        from_m, from_a = np.where(lost, kept, reading), np.where(lost, kept_currents, currents)
        action = self._decide(learned, from_m - target) + from_a - currents
        following = {
            **learned,
            "count": s["count"] + 1.0,
            "last": reading,
            "best": kept,
            "best_currents": kept_currents,
        }
        return action.astype(np.float32), self._state.pack(**following)

    def _learn(self, s: dict[str, Array], moved: Array, seen: Array) -> dict[str, Array]:
        """Its own part of the state after a move (..., C) A that changed the readings by (..., R) m."""
        raise NotImplementedError

    def _decide(self, s: dict[str, Array], error: Array) -> Array:
        raise NotImplementedError


class Broyden(_Learning):
    """J += (y - J d) d' / |d|2 after every move d that changed the readings by y (Broyden 1965)."""

    def __init__(self, response: npt.ArrayLike, step_max_a: float, matrix_error: float, retreat: float = 1.2) -> None:
        super().__init__(response, step_max_a, retreat, matrix=np.shape(response))
        readings, correctors = self.response.shape
        self._damping = readings * matrix_error**2 * np.eye(correctors)
        self.reset = self._state.zeros(matrix=self.response)

    def _learn(self, s: dict[str, Array], moved: Array, seen: Array) -> dict[str, Array]:
        surprise = seen - (s["matrix"] @ moved[..., None])[..., 0]
        size = np.square(moved).sum(-1)[..., None, None] + 1e-6
        return {"matrix": s["matrix"] + surprise[..., :, None] * moved[..., None, :] / size}

    def _decide(self, s: dict[str, Array], error: Array) -> Array:
        return damped_step(s["matrix"], self._damping, error, self.step_max_a)


class RecursiveLeastSquares(_Learning):
    """The matrix as a Kalman filter has it, each row by itself: prior the model's, `matrix_error` (m/A) a standard
    deviation of its elements; a reading's change has twice the BPM's variance. D is the filter's own covariance."""

    def __init__(
        self,
        response: npt.ArrayLike,
        step_max_a: float,
        matrix_error: float,
        bpm_noise_m: float,
        caution: float = 1.0,
        retreat: float = 1.2,
    ) -> None:
        correctors = np.shape(response)[1]
        shapes = {"matrix": np.shape(response), "covariance": (correctors, correctors)}
        super().__init__(response, step_max_a, retreat, **shapes)
        self._noise, self.caution = 2.0 * bpm_noise_m**2, caution
        self.reset = self._state.zeros(matrix=self.response, covariance=matrix_error**2 * np.eye(correctors))

    def _learn(self, s: dict[str, Array], moved: Array, seen: Array) -> dict[str, Array]:
        surprise = seen - (s["matrix"] @ moved[..., None])[..., 0]
        spread = (s["covariance"] @ moved[..., None])[..., 0]
        gain = spread / (self._noise + (moved * spread).sum(-1, keepdims=True))
        matrix = s["matrix"] + surprise[..., :, None] * gain[..., None, :]
        return {"matrix": matrix, "covariance": s["covariance"] - gain[..., :, None] * spread[..., None, :]}

    def _decide(self, s: dict[str, Array], error: Array) -> Array:
        damping = self.caution * error.shape[-1] * s["covariance"]
        return damped_step(s["matrix"], damping, error, self.step_max_a)


class GainFilter(_Learning):
    """Believes the model's optics and learns what the machine's builders got wrong most often: a gain a corrector,
    polarity included. y = J diag(d) g is linear in g, so that one move of all correctors shows them all.

    It also looks for BPMs that are dead: one that moved by far less than the correctors ought to have moved it,
    whatever their polarities, counts for as little in filter and correction. `gain_mean` and `gain_error` are the
    prior; `optics_error`, relative, is what it doubts of a predicted change.
    """

    ALIVE = 4.0
    """a BPM is believed in full while its moves, squared, add up to a quarter of what was expected at least"""

    def __init__(
        self,
        response: npt.ArrayLike,
        step_max_a: float,
        bpm_noise_m: float,
        gain_mean: float = 0.6,
        gain_error: float = 0.8,
        optics_error: float = 0.2,
        caution: float = 1.0,
        retreat: float = 1.2,
    ) -> None:
        readings, correctors = np.shape(response)
        own = {"gains": (correctors,), "covariance": (correctors, correctors)}
        super().__init__(response, step_max_a, retreat, **own, moved=(readings,), expected=(readings,))
        self._noise, self.optics_error, self.caution = 2.0 * bpm_noise_m**2, optics_error, caution
        prior = np.full(correctors, gain_mean)
        self.reset = self._state.zeros(gains=prior, covariance=gain_error**2 * np.eye(correctors))

    def _learn(self, s: dict[str, Array], moved: Array, seen: Array) -> dict[str, Array]:
        shown = self.response * moved[..., None, :]
        watch = {
            "moved": s["moved"] + np.maximum(np.square(seen) - self._noise, 0.0),
            "expected": s["expected"] + np.square(shown).sum(-1),
        }
        doubt = (self._noise + np.square(self.optics_error * shown).sum(-1)) / self._alive(watch) ** 2
        across = s["covariance"] @ shown.swapaxes(-1, -2)
        spread = shown @ across + doubt[..., None] * np.eye(len(self.response))
        gain = np.linalg.solve(spread, across.swapaxes(-1, -2)).swapaxes(-1, -2)
        surprise = seen - (shown @ s["gains"][..., None])[..., 0]
        gains = s["gains"] + (gain @ surprise[..., None])[..., 0]
        return {"gains": gains, "covariance": s["covariance"] - gain @ across.swapaxes(-1, -2), **watch}

    def _decide(self, s: dict[str, Array], error: Array) -> Array:
        alive = self._alive(s)
        response = self.response * alive[..., :, None]
        damping = self.caution * (response.swapaxes(-1, -2) @ response) * s["covariance"]
        return damped_step(response * s["gains"][..., None, :], damping, error * alive, self.step_max_a)

    def _alive(self, s: dict[str, Array]) -> Array:
        """(..., R) in (0, 1]: how far a reading is believed; 1 before anything has moved."""
        floor = 2.0 * self._noise + 1e-12
        return np.minimum(1.0, (self.ALIVE * s["moved"] + floor) / (s["expected"] + floor))


class _State:
    """Named arrays packed in one float32 row: a policy's state is flat."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self.shapes = shapes
        sizes = [int(np.prod(s)) for s in shapes.values()]
        self._ends = np.cumsum(sizes)[:-1].tolist()

    def unpack(self, state: Any) -> dict[str, Array]:
        """(..., S) -> (..., *shape) of each."""
        state = _wide(state)
        parts = np.split(state, self._ends, -1)
        return {n: p.reshape((*state.shape[:-1], *s)) for (n, s), p in zip(self.shapes.items(), parts, strict=True)}

    def zeros(self, **others: Array) -> npt.NDArray[np.float32]:
        """(S,) all zero, but for what is given."""
        return self.pack(**{n: np.zeros(s) for n, s in self.shapes.items()} | others)

    def pack(self, **values: Array) -> npt.NDArray[np.float32]:
        rows = []
        for name, shape in self.shapes.items():
            value = np.asarray(values[name])
            rows.append(value.reshape((*value.shape[: value.ndim - len(shape)], -1)))
        lead = np.broadcast_shapes(*(r.shape[:-1] for r in rows))
        return np.concatenate([np.broadcast_to(r, (*lead, r.shape[-1])) for r in rows], -1).astype(np.float32)


def _wide(x: Any) -> Array:
    return np.asarray(x, np.float64)


def _error(observation: Mapping[str, Any]) -> Array:
    return _wide(observation["bpm_position"]) - _wide(observation["target_orbit"])
