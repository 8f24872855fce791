"""What a host does with a board that runs a policy, over whatever carries the frames."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from robostack.export.blob import Blob, blob
from robostack.export.onnx import LoadedPolicy
from robostack.spec import SECTIONS, ContractError, PolicySpec
from robostack_real.link.errors import ProtocolError, Refused
from robostack_real.link.protocol import (
    MAX_PING,
    MAX_SWAP_DATA,
    NO_VECTOR,
    Actuation,
    Identity,
    Message,
    SelfTestResult,
    SwapPhase,
    SwapState,
    Type,
    Verdict,
    actuate_size,
    observe_payload,
    observe_size,
    parse_ack,
)

_WHY = {
    Verdict.WRONG_POLICY: "it runs another policy than the one asked for; flash the firmware of this policy",
    Verdict.ALREADY_ARMED: "it is armed already; disarm it first (arming again clears no fallback)",
    Verdict.SELF_TEST_FAILED: "its build does not compute what the policy computes; build it with the flags "
    "of firmware/Makefile (-ffp-contract=off, no -ffast-math) and look at self_test()",
    Verdict.REFUSED_ARMED: "not while it is armed; disarm it first",
    Verdict.NOT_SWAPPABLE: "its firmware was exported without hot swap; export with --hot-swap and flash it once",
    Verdict.WRONG_BLOB: "it takes blobs of another version; flash firmware that this robostack generated",
    Verdict.WRONG_INTERFACE: "the policy has another interface; flash firmware of its own",
    Verdict.WRONG_TOPOLOGY: "the policy has another graph, or another precision; flash firmware of its own",
    Verdict.SWAP_NOT_BEGUN: "no swap is under way: the board was reset or another swap began; load again",
    Verdict.SWAP_OUT_OF_PLACE: "these bytes leave a gap, or lie beyond the image; load again",
    Verdict.SWAP_INCOMPLETE: "it has not had the whole image; load again",
    Verdict.SWAP_DAMAGED: "the image that it has is not the one that was sent (CRC); load again",
    Verdict.SWAP_NOT_FINITE: "the new policy's action or state was not finite, flying in the shadow of the old one, "
    "which flies on; look for it in simulation",
    Verdict.NOT_HERE: "this link brings other policies and nothing else",
}


class BoardSession(ABC):
    """A board seen from its host.

    `identify`, `check` it against a policy, let it observe, `arm`, then observe once a control period.
    Leaving the context closes the link and sends nothing: an armed board sees its observations age, and its
    own fallback acts. Call `disarm` where neutral actuators are what you want.
    """

    where: str
    """Names the board in messages."""
    identity: Identity | None = None
    swap_piece = MAX_SWAP_DATA
    """bytes of an image that a message takes"""
    _policy_hash: str | None = None
    _sequence: int = 0

    @abstractmethod
    def _ask(self, request: Message, answer: Type) -> Message:
        """Sends and returns the answer of that type. Raises LinkError."""

    @abstractmethod
    def _exchange(self, observe: Message) -> Actuation:
        """Sends an observation and returns what the actuators got after it. Raises LinkError."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the link; may be called twice."""

    def identify(self) -> Identity:
        """Asks who answers, and goes on from its sequence number. Changes nothing on the board."""
        answer = self._ask(Message(Type.HELLO, self._sequence), Type.IDENT)
        self.identity = Identity.parse(answer.payload)
        self._sequence = self.identity.last_sequence
        return self.identity

    def check(self, spec: PolicySpec, policy_hash: str) -> Identity:
        """Asks who answers and compares it with a contract.

        Raises ContractError naming the first part that differs, both values and the remedy.
        """
        identity = self.identify()
        remedy = f"export the policy for this board, or flash {self.where} with firmware generated from it"
        mine = spec.section_digests()
        for section in SECTIONS:
            theirs = identity.section_digests[section]
            if theirs != mine[section]:
                raise ContractError(
                    f"{section}: the policy has {_short(mine[section])}, {self._name()} has {_short(theirs)} "
                    f"({_words(spec, identity)}); {remedy}"
                )
        for field, left, right in (
            ("interface_hash", spec.interface_hash, identity.interface_hash),
            ("policy_hash", policy_hash, identity.policy_hash),
        ):
            if left != right:
                raise ContractError(
                    f"{field}: the policy has {_short(left)}, {self._name()} has {_short(right)}; {remedy}"
                )
        self._policy_hash = policy_hash
        return identity

    def arm(self, policy_hash: str | None = None) -> None:
        """Lets the policy act, from its reset state; a fallback latched before is cleared.

        The board compares `policy_hash` (None: the one that `check` was given) with its own. Raises
        ContractError before any check, Refused when the board says no.
        """
        wanted = policy_hash or self._policy_hash
        if wanted is None:
            raise ContractError(f"arm: {self.where} is unchecked; call check(spec, policy_hash) first")
        self._command(Type.ARM, bytes.fromhex(wanted))

    def disarm(self) -> None:
        """Neutral actuators from the next period on."""
        self._command(Type.DISARM)

    def reset(self) -> None:
        """The board forgets observations, state and counters. Raises Refused while armed."""
        self._command(Type.RESET)

    def self_test(self, vector: int | None = None) -> SelfTestResult:
        """The board's own results, with the outputs of one vector. Raises Refused while armed."""
        who = self._known()
        wanted = NO_VECTOR if vector is None else vector
        answer = self._ask(self._next(Type.SELF_TEST, wanted.to_bytes(2, "little")), Type.RESULT)
        return SelfTestResult.parse(answer.payload, who.action_size + who.state_size)

    def load(
        self,
        policy: LoadedPolicy,
        *,
        progress: Callable[[str, float], None] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Identity:
        """Has the board run another policy from a period on, armed or not, and returns when it does.

        The board takes it only whole, for its own topology, after its self-test, and when it flies after 50 periods in
        the shadow of the old policy, which else stays. `progress` gets the phase and the share of it that was sent;
        `meanwhile` is called once an exchange: a host that flies the board observes in it. Raises ContractError
        when the policy does not fit, Refused when the board says no.
        """
        who = self.identify()
        if who.topology is None:
            raise ContractError(f"{self._name()}: {_WHY[Verdict.NOT_SWAPPABLE]}")
        loaded = blob(policy, "int16" if who.weight_bits == 16 else "float32")
        for field, left, right in (
            ("interface_hash", loaded.interface_hash, who.interface_hash),
            ("topology", loaded.topology, who.topology),
        ):
            if left != right:
                raise ContractError(
                    f"{field}: {policy.origin} has {_short(left)}, {self._name()} has {_short(right)}; a hot swap "
                    "exchanges weights alone: export firmware of this policy and flash it"
                )
        tell, pass_time = progress or (lambda what, share: None), meanwhile or self._pass_time
        for share in self.upload(loaded):
            tell("receiving", share)
            if meanwhile:
                meanwhile()
        while (state := self.swap_state()).phase != SwapPhase.IDLE:
            tell(state.phase.name.lower(), 1.0)
            pass_time()
        self._accepted(state.verdict, Type.SWAP_COMMIT)
        who = self.identify()
        if who.policy_hash != loaded.policy_hash:
            raise Refused(f"{self._name()} runs policy {_short(who.policy_hash)}: another host swapped it; load again")
        self._policy_hash = who.policy_hash
        return who

    def upload(self, loaded: Blob) -> Iterator[float]:
        """Sends a blob, one message a step, and has the board judge it; gives the share that was sent.

        Left half-way it changes nothing on the board. Raises Refused.
        """
        self._command(Type.SWAP_BEGIN, loaded.header)
        for start in range(0, len(loaded.image), self.swap_piece):
            yield start / len(loaded.image)
            piece = loaded.image[start : start + self.swap_piece]
            self._command(Type.SWAP_DATA, start.to_bytes(4, "little") + piece)
        yield 1.0
        self._command(Type.SWAP_COMMIT, loaded.crc.to_bytes(4, "little"))

    def swap_state(self) -> SwapState:
        """How far a swap has come. Changes nothing on the board."""
        self._known()
        return SwapState.parse(self._ask(self._next(Type.SWAP_STATUS), Type.SWAP_STATE).payload)

    def _pass_time(self) -> None:
        """About a control period on the board."""
        time.sleep(self._known().control_dt_s)

    def ping(self, size: int = 0, answer_size: int = 0) -> None:
        """Sends and receives filler of `size` and `answer_size` bytes, to time the link alone."""
        if not (0 <= size <= MAX_PING - 2 and 0 <= answer_size <= MAX_PING):
            raise ValueError(f"ping of {size} and {answer_size} bytes: at most {MAX_PING - 2} and {MAX_PING}")
        self._known()
        self._ask(self._next(Type.PING, answer_size.to_bytes(2, "little") + bytes(size)), Type.PONG)

    def echo(self) -> float:
        """Seconds of one round trip with the sizes of an observation and its actuation: the line without the policy
        and without the wait for the next control period, which paces `observe`."""
        who = self._known()
        size = min(observe_size(who.num_channels, who.observation_size), MAX_PING)
        start = time.perf_counter()
        self.ping(size - 2, min(actuate_size(who.action_size), MAX_PING))
        return time.perf_counter() - start

    def observe(
        self,
        values: npt.ArrayLike,
        fresh: Sequence[bool] | None = None,
        age_s: Sequence[float] | None = None,
    ) -> Actuation:
        """Sends (observation_size,) values in the contract's order and returns what the actuators got.

        `fresh[i]` marks channels with a new sample (None: all), `age_s[i]` how old it is already (None: 0).
        Raises ValueError when the sizes are not the contract's, LinkError.
        """
        return self._exchange(self.observe_message(values, fresh, age_s))

    def observe_message(
        self,
        values: npt.ArrayLike,
        fresh: Sequence[bool] | None = None,
        age_s: Sequence[float] | None = None,
    ) -> Message:
        """The next observation's message, for callers that carry it themselves."""
        who = self._known()
        packed = np.ascontiguousarray(values, dtype=np.float32)
        n = who.num_channels
        fresh, age_s = [True] * n if fresh is None else fresh, [0.0] * n if age_s is None else age_s
        if packed.shape != (who.observation_size,) or len(fresh) != n or len(age_s) != n:
            raise ValueError(
                f"observation of shape {packed.shape}, {len(fresh)} fresh marks, {len(age_s)} ages: "
                f"{self._name()} takes {who.observation_size} values in {n} channels"
            )
        return self._next(Type.OBSERVE, observe_payload(packed, fresh, age_s))

    def _next(self, kind: Type, payload: bytes = b"") -> Message:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return Message(kind, self._sequence, payload)

    def _command(self, kind: Type, payload: bytes = b"") -> None:
        self._known()
        answer = self._ask(self._next(kind, payload), Type.ACK)
        self._accepted(parse_ack(answer.payload, kind), kind)

    def _expect(self, message: Message, request: Message, answer: Type) -> Message:
        """`message` if it is that answer; raises Refused for a no, ProtocolError for anything else."""
        if message.type == answer:
            return message
        if message.type == Type.ACK:
            self._accepted(parse_ack(message.payload, request.type), request.type)
        raise ProtocolError(f"{self._name()} answers {request.type.name} with {message.type.name}")

    def _accepted(self, verdict: Verdict, kind: Type) -> None:
        if verdict != Verdict.ACCEPTED:
            raise Refused(f"{self._name()} refuses {kind.name}: {_WHY[verdict]}")

    def _known(self) -> Identity:
        return self.identity or self.identify()

    def _name(self) -> str:
        return f"board {self.identity.board} on {self.where}" if self.identity else f"board on {self.where}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _short(digest: str) -> str:
    return digest[:12]


def _words(spec: PolicySpec, who: Identity) -> str:
    """The numbers behind the digests, as far as a board tells them."""
    mine = (spec.task, f"{spec.control_dt_s:g}", spec.observation_size, spec.action_size, spec.state.size)
    theirs = (who.task, f"{who.control_dt_s:g}", who.observation_size, who.action_size, who.state_size)
    names = ("task", "control_dt_s", "observation_size", "action_size", "state_size")
    differing = [f"{n} {a} and {b}" for n, a, b in zip(names, mine, theirs, strict=True) if a != b]
    return ", ".join(differing) or "sizes and period are the same"
