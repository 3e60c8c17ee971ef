"""card.json, officer → authority: the public keys of a person who may become an officer. No secrets."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from healthcode.errors import InvalidInputError
from healthcode.trust.format.json_files import (
    JsonFile,
    Key32,
    ParticipantCode,
    decode_json_file,
    encode_json_file,
)
from province_node.officers.officers_file import OFFICER_NAME

__all__ = ["MAX_CARD_BYTES", "OfficerCard", "card_digest", "decode_card", "encode_card"]

MAX_CARD_BYTES = 4096


class OfficerCard(JsonFile):
    """The card. The officer reads its digest out to a key holder, who compares it."""

    format: Literal["healthcode/officer-card/1"] = "healthcode/officer-card/1"
    realm: str
    participant: ParticipantCode
    name: str = Field(pattern=OFFICER_NAME)
    spki_sha256: Key32
    sign_key: Key32


def encode_card(card: OfficerCard) -> bytes:
    """The bytes of card.json."""
    return encode_json_file(card)


def card_digest(card: OfficerCard) -> str:
    """What an officer reads out: `sha256:` and the digest of the card."""
    return f"sha256:{hashlib.sha256(encode_card(card)).hexdigest()}"


def decode_card(data: bytes, *, realm: str, participant: str) -> OfficerCard:
    """Untrusted bytes as a card. Raises DecodeError, InvalidInputError for a card of another province."""
    card = decode_json_file(OfficerCard, data, MAX_CARD_BYTES)
    if (card.realm, card.participant) != (realm, participant):
        raise InvalidInputError(
            f"the card is of participant {card.participant} in realm {card.realm}; this is {participant} in {realm}"
        )
    return card
