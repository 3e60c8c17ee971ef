"""Who holds which key: cards that new holders bring, and the names that are shown beside keys.

A holder makes the key on a machine of their own and brings a *card*: the public key,
with a proof that its holder has the secret. Names are for people: what counts is the
key, whose first digits are always shown beside the name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from healthcode.errors import ConfigurationError, InvalidInputError, NotFoundError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey, is_valid_point
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.json_files import (
    JsonFile,
    Key32,
    Signature64,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.format.metadata import Root
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.wire.cbor import encode
from healthcode.wire.cose import Context, sign_detached, verify_detached
from trust_registry.layout import RegistryFolder

__all__ = [
    "HolderCard",
    "find_holder",
    "holder_names",
    "make_card",
    "note_holders",
    "read_card",
    "read_holders",
    "write_card",
]

_MAX_CARD_BYTES = 4096
_FILE = "holders.json"


class HolderCard(JsonFile):
    """What a new holder brings: a public key, its proof of possession, and a name to show."""

    format: Literal["healthcode/holder-card/1"] = "healthcode/holder-card/1"
    realm: str
    purpose: Literal["ROOT", "OPERATOR"]
    name: str
    public: Key32
    possession: Signature64

    @property
    def keyid(self) -> str:
        """The id that the key signs under."""
        return str(tuf_key(self.public).keyid)


def make_card(key: PrivateKey, *, realm: str, purpose: KeyPurpose, name: str) -> HolderCard:
    """The card of a new key."""
    statement = _statement(purpose.value, name, key.public)
    return HolderCard.model_validate(
        {
            "realm": realm,
            "purpose": purpose.value,
            "name": name,
            "public": key.public,
            "possession": sign_detached(statement, key, Context.POSSESSION, realm),
        }
    )


def write_card(path: Path, card: HolderCard) -> None:
    """Writes a card, durably."""
    save_file(path, encode_json_file(card) + b"\n")


def read_card(path: Path, *, realm: str, purpose: KeyPurpose | None = None) -> HolderCard:
    """A card that was brought, its proof checked; of any purpose if none is demanded.

    Raises InvalidInputError, DecodeError, SignatureError (POSSESSION_UNPROVEN).
    """
    data = read_file(path)
    if data is None:
        raise InvalidInputError(f"{path} is not there: name the card that `trust-registry key new` wrote")
    card = decode_json_file(HolderCard, data, _MAX_CARD_BYTES)
    if card.realm != realm:
        raise InvalidInputError(
            f"{path} is a card for realm {card.realm}; this is {realm}", reason=Reason.REALM_MISMATCH
        )
    if purpose is not None and card.purpose != purpose.value:
        raise InvalidInputError(f"{path} is the card of a key of purpose {card.purpose}, not {purpose.value}")
    statement = _statement(card.purpose, card.name, card.public)
    if (
        not card.name.isprintable()
        or not is_valid_point(card.public)
        or not verify_detached(statement, card.possession, card.public, Context.POSSESSION, realm)
    ):
        raise SignatureError(
            f"{path}: the card of {card.name!a} does not prove that its key is held; have it made again",
            reason=Reason.POSSESSION_UNPROVEN,
        )
    return card


def holder_names(folder: RegistryFolder) -> dict[str, str]:
    """Names by the id of the key; empty when none were noted. Raises ConfigurationError when the file is damaged."""
    return read_holders(folder.root / _FILE)


def read_holders(path: Path) -> dict[str, str]:
    """The names in a holders.json; as `holder_names`."""
    data = read_file(path)
    try:
        found = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is damaged; it holds the names of key holders for people alone: restore it from a backup, or move it "
            "away, and holders go by their key ids"
        ) from error
    return {str(keyid): str(name) for keyid, name in found.items()} if isinstance(found, dict) else {}


def note_holders(folder: RegistryFolder, names: Mapping[str, str]) -> None:
    """Adds names, durably; what a key was called before is kept until it is named anew."""
    together = {**holder_names(folder), **names}
    save_file(
        folder.root / _FILE, json.dumps(together, indent=1, sort_keys=True, ensure_ascii=False).encode()
    )


def find_holder(root: Root, role: str, reference: str, names: Mapping[str, str]) -> str:
    """The id of the key of a role that `reference` means: a name, or its first 8 digits or more.

    Raises NotFoundError, which lists whom root names.
    """
    keyids = root.roles[role].keyids
    found = [
        keyid
        for keyid in keyids
        if reference in (names.get(keyid), names.get(keyid, "").partition(" ")[0])
        or (len(reference) >= 8 and keyid.startswith(reference.lower()))
    ]
    if len(found) != 1:
        known = ", ".join(sorted(f"{names.get(keyid, 'unnamed')} ({keyid[:12]})" for keyid in keyids))
        raise NotFoundError(f"{reference!r} names no one holder of {role}; root names: {known}")
    return found[0]


def _statement(purpose: str, name: str, public: bytes) -> bytes:
    return encode(["holder", purpose, name, public])
