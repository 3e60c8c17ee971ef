"""Proofs of possession of a participant's online keys."""

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.key_possession import new_province_key, verify_key_possession
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.weak_key import MixedOrderKey

REALM = "test-links"
KEY = fixed_key("new-1")
OTHER = fixed_key("new-2")


@pytest.mark.parametrize(
    "purpose", [KeyPurpose.LIVE, KeyPurpose.PAPER, KeyPurpose.ANSWER, KeyPurpose.QUESTION]
)
def test_an_online_key_of_mixed_order_is_refused_although_its_proof_holds(purpose: KeyPurpose) -> None:
    """As an authority's; what signs codes has one public key and no twin."""
    key = new_province_key("31", purpose, MixedOrderKey(b"m" * 32), REALM, not_before=NOW, not_after=NOW + 1)
    with pytest.raises(HealthcodeError, match="is not a valid Ed25519 key") as caught:
        verify_key_possession("31", key, REALM)
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN


def test_an_online_keys_possession_is_for_its_participant_and_purpose() -> None:
    """A LIVE key's proof does not make a PAPER key, nor Beijing's key Shanghai's."""
    key = new_province_key("31", KeyPurpose.LIVE, KEY, REALM, not_before=NOW, not_after=NOW + 1)
    verify_key_possession("31", key, REALM)
    for participant, realm, change in (
        ("11", REALM, {}),
        ("31", "test-other", {}),
        ("31", REALM, {"purpose": KeyPurpose.PAPER}),
        ("31", REALM, {"kid": bytes(8)}),
        ("31", REALM, {"public": OTHER.public}),
    ):
        with pytest.raises(HealthcodeError) as caught:
            verify_key_possession(participant, key.model_copy(update=change), realm)
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN
