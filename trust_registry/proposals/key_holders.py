"""Key holders: the cards that new ones bring, and the names shown beside their keys.

Names are for people only: checks use the key, and its first digits are always shown with the name.
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
from healthcode.storage.owner import as_caller
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
    "KeyHolderCard",
    "find_key_holder",
    "key_holder_names",
    "make_card",
    "note_key_holders",
    "read_card",
    "read_key_holder_names",
    "write_card",
]

_MAX_CARD_BYTES = 4096
_FILE = "holders.json"


class KeyHolderCard(JsonFile):
    """A new key holder's public key, with a proof of possession and a name to show."""

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


def make_card(key: PrivateKey, *, realm: str, purpose: KeyPurpose, name: str) -> KeyHolderCard:
    """The card of a new key, with its proof of possession."""
    statement = _statement(purpose.value, name, key.public)
    return KeyHolderCard.model_validate(
        {
            "realm": realm,
            "purpose": purpose.value,
            "name": name,
            "public": key.public,
            "possession": sign_detached(statement, key, Context.POSSESSION, realm),
        }
    )


def write_card(path: Path, card: KeyHolderCard) -> None:
    """Writes a card, durably."""
    save_file(path, encode_json_file(card) + b"\n")


@as_caller()
def read_card(path: Path, *, realm: str, purpose: KeyPurpose | None = None) -> KeyHolderCard:
    """A card in a file, with its proof verified; of any purpose if `purpose` is None.

    Raises InvalidInputError, DecodeError, SignatureError (POSSESSION_UNPROVEN).
    """
    data = read_file(path)
    if data is None:
        raise InvalidInputError(f"{path} does not exist: name the card that `trust-registry key new` wrote")
    card = decode_json_file(KeyHolderCard, data, _MAX_CARD_BYTES)
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
            f"{path}: the card of {card.name!a} does not prove possession of its key; have it made again with "
            "`trust-registry key new`",
            reason=Reason.POSSESSION_UNPROVEN,
        )
    return card


def key_holder_names(folder: RegistryFolder) -> dict[str, str]:
    """The names of key holders by key id. Raises ConfigurationError if the file is damaged."""
    return read_key_holder_names(folder.root / _FILE)


def read_key_holder_names(path: Path) -> dict[str, str]:
    """As key_holder_names, for the holders.json at `path`."""
    data = read_file(path)
    try:
        found = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is damaged: restore it from a backup, or move it away. It has only the names of key holders; "
            "without it they are shown by key id"
        ) from error
    return {str(keyid): str(name) for keyid, name in found.items()} if isinstance(found, dict) else {}


def note_key_holders(folder: RegistryFolder, names: Mapping[str, str]) -> None:
    """Adds or replaces names, durably."""
    together = {**key_holder_names(folder), **names}
    save_file(
        folder.root / _FILE, json.dumps(together, indent=1, sort_keys=True, ensure_ascii=False).encode()
    )


def find_key_holder(root: Root, role: str, reference: str, names: Mapping[str, str]) -> str:
    """The id of a key of `role`, by the name of its holder or by 8 or more first digits of the id.

    Raises NotFoundError, which lists the key holders of the role.
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
        raise NotFoundError(f"{reference!r} does not name one key holder of {role}; root names: {known}")
    return found[0]


def _statement(purpose: str, name: str, public: bytes) -> bytes:
    return encode(["holder", purpose, name, public])
