"""Authority chains: append-only, proven, handed over, and of one participant and realm."""

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.trust.format.authority_chain import new_link, verify_chain, verify_extension, verify_link
from healthcode.trust.format.json_files import AuthorityLink
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.weak_key import MixedOrderKey

REALM = "test-links"
OLD = [fixed_key(f"old-{number}") for number in (1, 2, 3)]
NEW = [fixed_key(f"new-{number}") for number in (1, 2, 3)]
FIRST = new_link("31", OLD, 2, REALM, created=NOW)
SECOND = new_link("31", NEW, 2, REALM, created=NOW + 1, previous=FIRST, previous_keys=OLD[:2])


def refuses(reason: Reason, link: AuthorityLink, previous: AuthorityLink | None = FIRST) -> None:
    with pytest.raises(HealthcodeError) as caught:
        verify_link("31", previous, link, REALM)
    assert caught.value.reason is reason, caught.value.message


def test_a_chain_of_two_holds() -> None:
    """The head is the last link."""
    assert verify_chain("31", [FIRST, SECOND], REALM) is SECOND
    assert verify_extension("31", [FIRST], [FIRST, SECOND], REALM) is SECOND
    assert verify_extension("31", [FIRST, SECOND], [FIRST, SECOND], REALM) is SECOND


def test_a_chain_is_of_one_participant_and_one_realm() -> None:
    """No proof is good elsewhere."""
    for participant, realm in (("11", REALM), ("31", "test-other")):
        with pytest.raises(HealthcodeError) as caught:
            verify_chain(participant, [FIRST], realm)
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN


@pytest.mark.parametrize("change", [{"threshold": 1}, {"created": NOW + 2}, {"keys": SECOND.keys[:2]}])
def test_proofs_cover_every_field(change: dict[str, object]) -> None:
    """Changing keys, threshold or time breaks the proofs."""
    refuses(Reason.POSSESSION_UNPROVEN, SECOND.model_copy(update=change))


def test_a_link_stands_where_its_number_says() -> None:
    """No gap, no repetition, no second beginning."""
    refuses(Reason.VERSION_CONFLICT, FIRST)
    refuses(Reason.VERSION_CONFLICT, SECOND, None)
    refuses(Reason.VERSION_CONFLICT, SECOND.model_copy(update={"seq": 3}))


def test_a_handover_needs_the_threshold_of_the_set_before() -> None:
    """Missing, short, doubled or by the wrong keys: refused."""
    one = SECOND.handover[:1]
    for handover in ((), one, (*one, *one), SECOND.possession):
        refuses(Reason.SIGNATURE_THRESHOLD, SECOND.model_copy(update={"handover": handover}))


def test_a_handover_is_for_the_link_it_follows() -> None:
    """The same keys after another first link are another chain."""
    other = new_link("31", OLD, 1, REALM, created=NOW)
    refuses(Reason.POSSESSION_UNPROVEN, SECOND, other)


def test_each_key_proves_possession_and_is_a_valid_point() -> None:
    """One missing or borrowed proof, or a point of small order, refuses the link."""
    refuses(Reason.POSSESSION_UNPROVEN, SECOND.model_copy(update={"possession": SECOND.possession[:2]}))
    swapped = tuple(
        proof.model_copy(update={"signature": SECOND.possession[0].signature}) for proof in SECOND.possession
    )
    refuses(Reason.POSSESSION_UNPROVEN, SECOND.model_copy(update={"possession": swapped}))
    small_order = (b"\x01" + bytes(31), *SECOND.keys[1:])
    refuses(Reason.POSSESSION_UNPROVEN, SECOND.model_copy(update={"keys": small_order}))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_key_of_mixed_order_is_refused_although_its_proof_holds(position: int) -> None:
    """Its own signature verifies, so nothing but the check of the point stands in its way."""
    keys = [*NEW[:position], MixedOrderKey(b"m" * 32), *NEW[position + 1 :]]
    first = new_link("31", keys, 2, REALM, created=NOW)
    later = new_link("31", keys, 2, REALM, created=NOW + 1, previous=FIRST, previous_keys=OLD[:2])
    for link, previous in ((first, None), (later, FIRST)):
        with pytest.raises(HealthcodeError, match="is not a valid Ed25519 key") as caught:
            verify_link("31", previous, link, REALM)
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN


def test_a_key_twice_or_a_threshold_out_of_reach_is_refused() -> None:
    """M of n needs n different keys and m ≤ n."""
    refuses(Reason.SIGNATURE_THRESHOLD, new_link("31", [NEW[0], NEW[0]], 2, REALM, created=NOW), None)
    refuses(Reason.SIGNATURE_THRESHOLD, new_link("31", NEW, 4, REALM, created=NOW), None)


def test_an_accepted_chain_is_never_replaced_nor_shortened() -> None:
    """What was accepted stands first, to the byte."""
    other = new_link("31", NEW, 2, REALM, created=NOW)
    for chain in ((other,), (), (FIRST.model_copy(update={"handover": SECOND.handover}),)):
        with pytest.raises(HealthcodeError) as caught:
            verify_extension("31", [FIRST], chain, REALM)
        assert caught.value.reason is Reason.AUTHORITY_EXISTS
