"""The Python envelope itself; what it promises is claimed in tests/envelope, on both ports."""

import numpy as np
import pytest

from robostack.runtime.envelope import Envelope, Reason, clamp
from robostack.spec import ContractError, Cut
from robostack.spec import Envelope as EnvelopeSpec


def test_status_names_the_channel_that_tripped_and_every_age(quadrotor_spec):
    envelope = Envelope(quadrotor_spec)
    envelope.arm()
    fresh = np.array([c.name != "attitude" for c in quadrotor_spec.observations])
    assert not envelope.observe(np.zeros(16, np.float32), fresh, np.full(5, 0.02, np.float32))
    status = envelope.status
    assert (status.tripped, status.reason, status.channel) == (True, Reason.NEVER_SEEN, "attitude")
    assert status.age_s["attitude"] == pytest.approx(0.01)
    assert status.age_s["position"] == pytest.approx(0.02)


def test_ages_stay_exact_over_a_day_of_silence(quadrotor_spec):
    envelope = Envelope(quadrotor_spec)
    envelope.observe(np.zeros(16, np.float32), np.ones(5, bool), np.zeros(5, np.float32))
    envelope.missed(24 * 3600 * 100 - 1)
    envelope.observe(np.zeros(16, np.float32), np.zeros(5, bool), np.zeros(5, np.float32))
    assert envelope.status.age_s["attitude"] == pytest.approx(24 * 3600, rel=1e-6)


def test_a_returned_action_is_the_callers_to_keep(quadrotor_spec):
    envelope = Envelope(quadrotor_spec)
    envelope.act(None)[:] = np.nan
    assert np.isfinite(envelope.applied_action).all()


def test_clamp_keeps_the_sign_of_zero():
    zeros = np.array([-0.0, 0.0], dtype=np.float32)
    assert clamp(zeros, zeros[::-1], zeros[::-1]).tobytes() == zeros.tobytes()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"control_dt_s": 1e-60}, "control_dt_s"),
        ({"envelope": EnvelopeSpec(fallback=(Cut(value=(1e39, 0, 0, 0)),))}, r"envelope.fallback\[0\].value"),
    ],
)
def test_a_number_that_32_bits_cannot_hold_is_refused_by_name(quadrotor_spec, changes, field):
    with pytest.raises(ContractError, match=field):
        Envelope(quadrotor_spec.model_copy(update=changes))
