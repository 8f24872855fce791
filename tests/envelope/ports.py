"""The two ports of the envelope behind one face, driven with packed arrays and a scripted policy."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from robostack.export.contract_c import contract_table
from robostack.runtime.controller import Controller
from robostack.runtime.envelope import Reason
from robostack.spec import PolicySpec

FIRMWARE = Path(__file__).parents[2] / "firmware" / "envelope"
FLAGS = "-std=c99 -Wall -Wextra -Wconversion -Wdouble-promotion -Werror -ffp-contract=off -O2 -shared -fPIC"
POLICY_HASH = "5a" * 32


@dataclass(frozen=True)
class Seen:
    """What can be observed of a port after a tick. Floats as bytes where the ports must agree bit for bit."""

    armed: bool
    tripped: bool
    reason: Reason
    channel: int
    rung: int
    age_s: bytes
    calls: int
    given: tuple[bytes, bytes, bytes]
    """observation, applied action and state at the policy's last call."""


class Port(Protocol):
    spec: PolicySpec

    def arm(self, armed: bool = True) -> None: ...
    def script(self, action: np.ndarray, state: np.ndarray) -> None: ...
    def tick(self, observation: np.ndarray, fresh: np.ndarray, age_s: np.ndarray, missed: int = 0) -> np.ndarray: ...
    def seen(self) -> Seen: ...


class PythonPort:
    """robostack.runtime.controller, fed by channel names."""

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec
        self._controller = Controller(self, spec)
        self._answer: tuple[np.ndarray, np.ndarray] = (np.zeros(spec.action_size), np.zeros(spec.state.size))
        self._calls, self._given = 0, (b"", b"", b"")

    def infer(self, observation, applied_action, state, /):
        self._calls += 1
        packed = np.concatenate([observation[c.name].ravel() for c in self.spec.observations])
        self._given = (packed.tobytes(), applied_action.tobytes(), b"" if state is None else state.tobytes())
        return self._answer

    def arm(self, armed: bool = True) -> None:
        self._controller.arm(armed)

    def script(self, action, state) -> None:
        self._answer = (action.copy(), state.copy())

    def tick(self, observation, fresh, age_s, missed=0):
        samples, offset = {}, 0
        for i, c in enumerate(self.spec.observations):
            value = observation[offset : offset + c.size].reshape(c.shape)
            samples[c.name] = (value, float(age_s[i])) if fresh[i] else None
            offset += c.size
        return self._controller.tick(samples, missed)

    def seen(self) -> Seen:
        s = self._controller.status
        names = [c.name for c in self.spec.observations]
        ages = np.array(list(s.age_s.values()), dtype=np.float32).tobytes()
        channel = names.index(s.channel) if s.channel else -1
        return Seen(s.armed, s.tripped, s.reason, channel, s.rung, ages, self._calls, self._given)


class CPort:
    """firmware/envelope/*.c, compiled with the contract's own table."""

    def __init__(self, spec: PolicySpec, folder: Path) -> None:
        self.spec = spec
        self._lib = compiled(spec, folder, sizes_of=spec)
        assert self._lib.start()
        self._start_calls = ctypes.c_uint32.in_dll(self._lib, "calls").value

    def arm(self, armed: bool = True) -> None:
        self._lib.arm(ctypes.c_bool(armed))

    def script(self, action, state) -> None:
        self._lib.script(_pointer(_f32(action)), _pointer(_f32(state)))

    def tick(self, observation, fresh, age_s, missed=0):
        action = np.empty(self.spec.action_size, dtype=np.float32)
        # each array keeps a name: the pointer alone would not keep it alive
        x, f, a = _f32(observation), np.ascontiguousarray(fresh, dtype=np.uint8), _f32(age_s)
        self._lib.tick(_pointer(x), _pointer(f), _pointer(a), ctypes.c_uint32(missed), _pointer(action))
        return action

    def seen(self) -> Seen:
        flags = np.empty(5, dtype=np.int32)
        ages = np.empty(len(self.spec.observations), dtype=np.float32)
        self._lib.status(_pointer(flags), _pointer(ages))
        armed, tripped, reason, channel, rung = flags.tolist()
        calls = ctypes.c_uint32.in_dll(self._lib, "calls").value - self._start_calls
        sizes = (self.spec.observation_size, self.spec.action_size, self.spec.state.size)
        names = ("given_observation", "given_applied", "given_state")
        given = [self._global(name, size) if calls else b"" for name, size in zip(names, sizes, strict=True)]
        return Seen(bool(armed), bool(tripped), Reason(reason), channel, rung, ages.tobytes(), calls, tuple(given))

    def self_test(self) -> tuple[int, float]:
        worst = ctypes.c_float()
        return self._lib.self_test(ctypes.byref(worst)), worst.value

    def _global(self, name: str, size: int) -> bytes:
        return bytes((ctypes.c_float * size).in_dll(self._lib, name)) if size else b""


def compiled(spec: PolicySpec, folder: Path, sizes_of: PolicySpec) -> ctypes.CDLL:
    """The library of a spec, with static buffers as large as `sizes_of` needs; compiled once a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "envelope.so"
    if not library.exists():
        sizes = {
            "OBSERVATION": sizes_of.observation_size, "ACTION": sizes_of.action_size,
            "STATE": max(1, sizes_of.state.size), "CHANNELS": len(sizes_of.observations),
        }  # fmt: skip
        defines = "".join(f"#define RS_MAX_{name} {value}u\n" for name, value in sizes.items())
        (folder / "policy_sizes.h").write_text(defines)
        (folder / "contract.c").write_text(contract_table(spec, POLICY_HASH))
        sources = [FIRMWARE / "envelope.c", FIRMWARE / "controller.c", Path(__file__).parent / "harness.c"]
        command = ["gcc", *FLAGS.split(), f"-I{folder}", f"-I{FIRMWARE}", *map(str, sources)]
        subprocess.run([*command, str(folder / "contract.c"), "-o", str(library)], check=True)
    lib = ctypes.CDLL(str(library))
    lib.start.restype = ctypes.c_bool
    lib.self_test.restype = ctypes.c_uint16
    return lib


def _f32(x) -> np.ndarray:
    return np.ascontiguousarray(x, dtype=np.float32)


def _pointer(x: np.ndarray) -> ctypes.c_void_p:
    return x.ctypes.data_as(ctypes.c_void_p)
