"""The cards of key holders: each proves that its key is held, and that it is a key at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from tests.simulator.realm import fixed_key
from tests.simulator.weak_key import SMALL_ORDER, MixedOrderKey
from trust_registry.proposals.key_holders import KeyHolderCard, make_card, read_card, write_card

REALM = "test-holders"


def card_of(key: PrivateKey) -> KeyHolderCard:
    return make_card(key, realm=REALM, purpose=KeyPurpose.ROOT, name="root-1")


def read(tmp_path: Path, card: KeyHolderCard) -> KeyHolderCard:
    write_card(tmp_path / "card.json", card)
    return read_card(tmp_path / "card.json", realm=REALM, purpose=KeyPurpose.ROOT)


def test_a_card_is_read_as_it_was_made(tmp_path: Path) -> None:
    """Key, name and proof survive the file."""
    card = card_of(fixed_key("root-1"))
    assert read(tmp_path, card) == card


def test_a_card_without_a_proof_or_a_valid_key_is_refused(tmp_path: Path) -> None:
    """Another key's proof; a key of mixed order, although its own proof holds; a key of small order."""
    card = card_of(fixed_key("root-1"))
    for bad in (
        card.model_copy(update={"public": fixed_key("root-2").public}),
        card.model_copy(update={"public": SMALL_ORDER}),
        card_of(MixedOrderKey(b"m" * 32)),
    ):
        with pytest.raises(HealthcodeError) as caught:
            read(tmp_path, bad)
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN
