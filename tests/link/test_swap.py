"""Another policy takes over without a reflash: the C server behind the Python session, period by period."""

import dataclasses
import functools
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from bench import Bench, compile_library
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

from small_policy import SPEC, SmallActor

from robostack.export.blob import HEADER, blob
from robostack.export.firmware import generate_firmware
from robostack.export.host import HostPolicy
from robostack.export.onnx import export_onnx
from robostack.spec import ContractError
from robostack_real.link.errors import Refused
from robostack_real.link.protocol import MAX_SWAP_DATA, SwapPhase, SwapState, Type, Verdict, parse_ack

SHADOW = 50
X = np.array([0.3, -0.2, 0.1, 0.5, -0.5, 0.2, 0.1, 0.0, 0.0, 0.0], np.float32)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """Policies of one graph by their seed, and of others by what differs."""
    folder = tmp_path_factory.mktemp("policies")

    @functools.cache
    def make(seed=0, hidden=3, **changes):
        actor = SmallActor(seed, hidden)
        spec = SPEC.model_copy(update=changes)
        return export_onnx(actor, spec, folder / "policy.onnx", reference=actor, self_test_rows=2)

    return make


@pytest.fixture(scope="module")
def library(tmp_path_factory, policy):
    tiny.need(tiny.missing_tools("host"), "C compiler")
    folder = tmp_path_factory.mktemp("swap")
    generate_firmware(policy(0), folder / "generated", hot_swap=True)
    return compile_library(folder, folder / "generated")


@pytest.fixture
def board(library):
    return Bench(library)


@pytest.fixture
def flying(board, policy):
    board.observe(X)
    board.arm(policy(0).policy_hash)
    return board


@pytest.fixture(scope="module")
def old(policy):
    return policy(0)


@pytest.fixture(scope="module")
def new(policy):
    return policy(1)


@pytest.fixture(scope="module")
def c_new(new):
    return HostPolicy(new)


def send(board, loaded):
    for _ in board.upload(loaded):
        pass


def send_bytes(board, data):
    """A blob as a file has it."""
    board._command(Type.SWAP_BEGIN, data[: HEADER.size])
    image = data[HEADER.size : -4]
    for start in range(0, len(image), MAX_SWAP_DATA):
        board._command(Type.SWAP_DATA, start.to_bytes(4, "little") + image[start : start + MAX_SWAP_DATA])
    board._command(Type.SWAP_COMMIT, data[-4:])


def settle(board, periods=SHADOW + 10):
    """Periods in which a swap that could become active would."""
    for _ in range(periods):
        board.observe(X)


def with_image(loaded, at, value):
    """The blob with other bytes in its image, under a CRC that holds."""
    return dataclasses.replace(loaded, image=loaded.image[:at] + value + loaded.image[at + len(value) :])


def test_a_swap_in_flight_misses_no_period_and_goes_on_from_the_state_as_it_was(flying, old, new, c_new):
    """The state of this policy integrates its error: both policies would have come to the same one."""
    c_old, seen = HostPolicy(old), []
    flying.load(new, meanwhile=lambda: seen.append(flying.observe(X)))
    seen += [flying.observe(X) for _ in range(20)]
    assert flying.identify().policy_hash == new.policy_hash
    state, applied = np.array(SPEC.state.reset, np.float32), np.zeros(2, np.float32)
    who = []
    for answer in seen:
        row = np.concatenate([X, applied, state])[None]
        by_old, by_new = c_old.rows(row)[0], c_new.rows(row)[0]
        state, applied = by_old[2:], answer.action
        assert by_old[2:].tobytes() == by_new[2:].tobytes()
        who.append("old" if answer.action.tobytes() == by_old[:2].tobytes() else "new")
        assert who[-1] == "old" or answer.action.tobytes() == by_new[:2].tobytes()
    changed = who.index("new")
    assert who == ["old"] * changed + ["new"] * (len(who) - changed)
    assert changed >= SHADOW
    assert [a.tick for a in seen] == list(range(seen[0].tick, seen[0].tick + len(seen)))
    assert not any(a.tripped for a in seen)
    assert seen[-1].deadline_misses == 0


def test_the_self_test_takes_a_vector_a_period_and_the_shadow_its_periods(flying, new):
    send(flying, blob(new))
    phases = []
    while (state := flying.swap_state()).phase != SwapPhase.IDLE:
        phases.append(state.phase)
        flying.observe(X)
    assert phases == [SwapPhase.TESTING] * 2 + [SwapPhase.SHADOWING] * (1 + SHADOW)  # in the first, the state is copied
    assert state.verdict == Verdict.ACCEPTED


def test_a_board_that_does_not_fly_changes_over_after_the_self_test(board, old, new, c_new):
    assert board.load(new).policy_hash == new.policy_hash
    result = board.self_test(1)
    assert (result.count, result.failures) == (2, 0)
    assert result.outputs.tobytes() == c_new.rows(np.array(new.spec.self_test.inputs, np.float32))[1].tobytes()
    board.observe(X)
    with pytest.raises(Refused, match="another policy"):
        board.arm(old.policy_hash)
    board.arm()
    assert board.observe(X).armed


def test_policies_can_be_swapped_again_and_again(board, policy):
    for seed in (1, 2, 0, 3):
        wanted = policy(seed)
        board.load(wanted)
        assert board.self_test(0).outputs == pytest.approx(wanted.spec.self_test.outputs[0], rel=1e-4)


def test_a_latched_fallback_stays_latched(flying, new):
    for _ in range(60):
        tripped = flying.tick()
    assert tripped.tripped
    flying.load(new)
    after = flying.observe(X)
    assert (after.tripped, after.reason, after.action.tolist()) == (True, tripped.reason, tripped.action.tolist())
    assert flying.identify().policy_hash == new.policy_hash


def test_arming_in_the_shadow_starts_it_again(flying, old, new):
    send(flying, blob(new))
    settle(flying, 2 + SHADOW - 5)
    flying.disarm()
    flying.arm(old.policy_hash)
    settle(flying, SHADOW)
    assert flying.swap_state().phase == SwapPhase.SHADOWING
    settle(flying, 2)
    assert flying.identify().policy_hash == new.policy_hash


def test_an_upload_aborted_half_way_leaves_the_old_policy_and_a_new_one_works(flying, old, new):
    steps = flying.upload(blob(new))
    next(steps), next(steps)
    settle(flying)
    assert flying.identify().policy_hash == old.policy_hash
    assert flying.swap_state().phase == SwapPhase.RECEIVING
    flying.load(new, meanwhile=lambda: flying.observe(X))
    assert flying.identify().policy_hash == new.policy_hash


def test_no_byte_of_a_blob_can_be_damaged_and_the_policy_become_active(flying, old, new):
    good = bytes(blob(new))
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        with pytest.raises(Refused):
            send_bytes(flying, bytes(bad))
        assert flying.swap_state().phase == SwapPhase.IDLE
        flying.observe(X)
    settle(flying)
    assert flying.identify().policy_hash == old.policy_hash


def test_nan_anywhere_under_a_crc_that_holds_never_becomes_active(board, old, new):
    """In a weight, in what the self-test asks or wants, or in its tolerance."""
    loaded = blob(new)
    board.identify()
    for at in range(0, len(loaded.image), 4):
        bad = with_image(loaded, at, struct.pack("<f", np.nan))
        if at == len(loaded.image) - 4:
            with pytest.raises(Refused):
                send(board, bad)
        else:
            send(board, bad)
        for _ in range(3):
            board.tick()
        assert board.swap_state() == SwapState(SwapPhase.IDLE, Verdict.SELF_TEST_FAILED, len(loaded.image))
    assert board.identify().policy_hash == old.policy_hash


@pytest.mark.parametrize("tolerance", [0.021, 1e30, np.inf])
def test_a_self_test_that_lets_everything_pass_is_refused(board, new, tolerance):
    loaded = blob(new)
    with pytest.raises(Refused, match="does not compute what the policy computes"):
        send(board, with_image(loaded, len(loaded.image) - 4, struct.pack("<f", tolerance)))


def test_the_old_policys_weights_under_the_new_ones_name_fail_the_self_test(flying, old, new):
    weights = len(blob(old).image) - 4 * (2 * (15 + 5) + 1)
    send(flying, with_image(blob(new), 0, blob(old).image[:weights]))
    flying.observe(X)
    assert flying.swap_state().verdict == Verdict.SELF_TEST_FAILED
    assert flying.identify().policy_hash == old.policy_hash


def test_a_policy_that_gives_no_number_in_the_shadow_is_refused_and_the_old_one_flies_on(flying, old, new, c_new):
    """Infinity less infinity, far from home alone: a self-test at home does not see it."""
    loaded = blob(new)
    home = np.zeros((2, 15), np.float32)
    tests = home.tobytes() + c_new.rows(home).tobytes()
    loaded = with_image(loaded, len(loaded.image) - 4 - len(tests), tests)
    send(flying, with_image(loaded, 4 * (3 + 2), struct.pack("<2f", 3e38, -3e38)))
    settle(flying, 20)
    assert flying.swap_state().phase == SwapPhase.SHADOWING
    far = np.float32([3, 3, 0, *X[3:]])
    answers = [flying.observe(far) for _ in range(SHADOW)]
    assert flying.swap_state().verdict == Verdict.SWAP_NOT_FINITE
    assert not any(a.tripped for a in answers)
    assert flying.identify().policy_hash == old.policy_hash


STEPS = st.one_of(
    st.just(("begin",)),
    st.tuples(st.just("data"), st.sampled_from([0, 100, 200, 300]), st.sampled_from([100, 150, 500])),
    st.tuples(st.just("commit"), st.booleans()),
    st.just(("tick",)),
)


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_whatever_order_messages_come_in_only_the_whole_blob_becomes_active(library, old, new, steps):
    board, loaded = Bench(library), blob(new)
    board.identify()
    begun, received, judged = False, 0, False
    for step in steps:
        taken = True
        try:
            match step:
                case ("begin",):
                    board._command(Type.SWAP_BEGIN, loaded.header)
                case ("data", offset, size):
                    piece = loaded.image[offset : offset + size]
                    board._command(Type.SWAP_DATA, offset.to_bytes(4, "little") + piece)
                case ("commit", good):
                    board._command(Type.SWAP_COMMIT, (loaded.crc ^ (not good)).to_bytes(4, "little"))
                case ("tick",):
                    board.tick()
        except Refused:
            taken = False
        match step:
            case ("begin",):
                assert taken
                begun, received = True, 0
                judged = judged and board.identify().policy_hash == new.policy_hash
            case ("data", offset, size):
                assert taken == (begun and offset <= received)
                received = max(received, min(offset + size, len(loaded.image))) if taken else received
            case ("commit", good):
                whole = received == len(loaded.image)
                if begun and whole:
                    assert taken == good
                    begun, judged = False, judged or good
    for _ in range(4):
        board.tick()
    assert (board.identify().policy_hash == new.policy_hash) == judged


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"version": 2}, Verdict.WRONG_BLOB),
        ({"version": 0}, Verdict.WRONG_BLOB),
        ({"interface_hash": "11" * 32}, Verdict.WRONG_INTERFACE),
        ({"topology": "11" * 32}, Verdict.WRONG_TOPOLOGY),
        ({"image": b"\0" * 4}, Verdict.WRONG_BLOB),
    ],
)
def test_a_header_that_does_not_fit_is_refused_by_its_name(board, new, changes, verdict):
    header = dataclasses.replace(blob(new), **changes).header
    board.identify()
    (answer,) = board.send(board._next(Type.SWAP_BEGIN, header))
    assert parse_ack(answer.payload, Type.SWAP_BEGIN) == verdict
    assert board.swap_state() == SwapState(SwapPhase.IDLE, verdict, 0)


@pytest.mark.parametrize("header", [b"", b"RSWB", bytes(108), bytes(400)])
def test_what_is_no_header_is_refused(board, header):
    board.identify()
    with pytest.raises(Refused, match="another version"):
        board._command(Type.SWAP_BEGIN, header)


def test_bytes_out_of_place_are_refused_and_those_it_has_are_not(board, new):
    loaded = blob(new)
    size = len(loaded.image)
    board.identify()

    def data(offset, piece):
        return board._command(Type.SWAP_DATA, offset.to_bytes(4, "little") + piece)

    with pytest.raises(Refused, match="no swap is under way"):
        data(0, loaded.image[:10])
    board._command(Type.SWAP_BEGIN, loaded.header)
    data(0, loaded.image[:100])
    for offset, piece in ((101, b"x"), (50, bytes(size)[:500]), (size, b"x"), (2**32 - 1, b"xy"), (100, b"")):
        with pytest.raises(Refused, match="leave a gap"):
            data(offset, piece)
    with pytest.raises(Refused, match="not had the whole image"):
        board._command(Type.SWAP_COMMIT, loaded.crc.to_bytes(4, "little"))
    data(0, loaded.image[:100])  # the answer was lost
    data(60, loaded.image[60:])  # the first bytes again
    for _ in range(3):  # so was this one
        board._command(Type.SWAP_COMMIT, loaded.crc.to_bytes(4, "little"))
    settle(board)
    board._command(Type.SWAP_COMMIT, loaded.crc.to_bytes(4, "little"))
    assert board.identify().policy_hash == new.policy_hash


def test_another_graph_and_another_interface_are_named_before_anything_is_sent(board, policy, old):
    with pytest.raises(ContractError, match=r"^topology: .*export firmware of this policy and flash it"):
        board.load(policy(hidden=4))
    with pytest.raises(ContractError, match=r"^interface_hash: "):
        board.load(policy(control_dt_s=0.02))
    assert board.identify().policy_hash == old.policy_hash


def test_firmware_without_hot_swap_says_so(bench, new):
    assert bench.identify().topology is None
    with pytest.raises(ContractError, match="exported without hot swap"):
        bench.load(new)
    for request in (Type.SWAP_BEGIN, Type.SWAP_DATA, Type.SWAP_COMMIT):
        with pytest.raises(Refused, match="exported without hot swap"):
            bench._command(request, b"")


def test_a_reset_drops_a_swap_and_keeps_the_policy(board, policy, new):
    board.load(new)
    send(board, blob(policy(2)))
    board.reset()
    settle(board)
    assert board.identify().policy_hash == new.policy_hash
    with pytest.raises(Refused, match="no swap is under way"):
        board._command(Type.SWAP_COMMIT, bytes(4))
