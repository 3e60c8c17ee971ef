"""Key files: JSON of mode 0600 with one secret, encrypted under a passphrase (docs/wire-format.md 7).

The public fields are readable; their SHA-256 is sealed with the secret, so a changed file does not open.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from nacl import bindings
from nacl.exceptions import CryptoError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import ConfigurationError, InternalError, InvalidInputError
from healthcode.identity.realm import Realm, check_realm
from healthcode.signing.ed25519 import SEED_BYTES, PrivateKey, kid
from healthcode.signing.kdf import SALT_BYTES, argon2id
from healthcode.signing.passphrase import check_secret_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import write_new
from healthcode.storage.reading import read_error

__all__ = [
    "Cost",
    "KeyFileDamageError",
    "KeyFileLockedError",
    "KeyInfo",
    "LoadedKey",
    "create_key_file",
    "read_key_cost",
    "read_key_file",
    "read_key_info",
]

FORMAT = "healthcode/key/1"
_MAX_FILE_BYTES = 16 * 1024
_KIB = 1024
_MIB = 1024 * _KIB

Cost = Literal["production", "development"]
_COSTS: dict[Cost, tuple[int, int]] = {"production": (3, 64 * _MIB), "development": (1, 64 * _KIB)}


class KeyFileDamageError(ConfigurationError):
    """A key file has no usable key, whatever its passphrase."""


class KeyFileLockedError(ConfigurationError):
    """The passphrase does not open a key file: it is the passphrase of another file, or the file is damaged."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The public fields of a key file. `public` is None for an INDEX secret; times are seconds since the epoch."""

    purpose: KeyPurpose
    realm: Realm
    participant: str | None
    name: str
    public: bytes | None
    created: int
    not_before: int | None
    not_after: int | None

    @property
    def kid(self) -> bytes:
        """The key id. Raises InternalError for an INDEX secret."""
        if self.public is None:
            raise InternalError(f"a secret of purpose {self.purpose} has no kid")
        return kid(self.public)


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """An opened key file."""

    info: KeyInfo
    secret: bytes = field(repr=False)

    @property
    def private(self) -> PrivateKey:
        """The signing key. Raises InternalError for an INDEX secret, which cannot sign."""
        if self.info.public is None:
            raise InternalError(f"a secret of purpose {self.info.purpose} signs nothing")
        return PrivateKey(self.secret)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Kdf(_Strict):
    name: Literal["argon2id13"]
    salt: str
    # bounded, so that a hostile file cannot block a start or use all memory
    operations: Annotated[int, Field(ge=1, le=10)]
    memory_bytes: Annotated[int, Field(ge=8 * _KIB, le=1024 * _MIB)]


class _Document(_Strict):
    format: Literal["healthcode/key/1"]
    purpose: str
    realm: str
    participant: str | None
    name: str
    public: str | None
    created: str
    not_before: str | None
    not_after: str | None
    kdf: _Kdf
    cipher: Literal["xsalsa20poly1305"]
    box: str

    def sealed_hash(self) -> bytes:
        """SHA-256 of everything but the box, as sorted JSON without spaces."""
        text = json.dumps(
            self.model_dump(exclude={"box"}), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).digest()


def create_key_file(
    path: Path,
    secret: PrivateKey | bytes,
    passphrase: bytes,
    *,
    purpose: KeyPurpose,
    realm: Realm,
    participant: str | None = None,
    name: str = "",
    created: int,
    not_before: int | None = None,
    not_after: int | None = None,
    cost: Cost = "production",
) -> KeyInfo:
    """Writes a new key file of mode 0600; durable when it returns.

    `secret` is a PrivateKey, or 32 random bytes for INDEX. `cost="development"` opens
    fast and protects nothing. Raises ConfigurationError when the file exists (it is never overwritten)
    or cannot be written.
    """
    if (purpose is KeyPurpose.INDEX) == isinstance(secret, PrivateKey) or not passphrase:
        raise InvalidInputError("INDEX takes 32 bytes, every other purpose a PrivateKey, and none is empty")
    seed = secret.seed() if isinstance(secret, PrivateKey) else secret
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"a secret is {SEED_BYTES} bytes, this one has {len(seed)}")
    public = secret.public if isinstance(secret, PrivateKey) else None
    info = KeyInfo(purpose, check_realm(realm), participant, name, public, created, not_before, not_after)
    operations, memory_bytes = _COSTS[cost]
    salt = bindings.randombytes(SALT_BYTES)
    document = _Document(
        format="healthcode/key/1",
        purpose=purpose.value,
        realm=realm,
        participant=participant,
        name=name,
        public=None if public is None else public.hex(),
        created=rfc3339(created),
        not_before=None if not_before is None else rfc3339(not_before),
        not_after=None if not_after is None else rfc3339(not_after),
        kdf=_Kdf(name="argon2id13", salt=_b64(salt), operations=operations, memory_bytes=memory_bytes),
        cipher="xsalsa20poly1305",
        box="",
    )
    key = argon2id(
        passphrase,
        salt,
        length=bindings.crypto_secretbox_KEYBYTES,
        operations=operations,
        memory_bytes=memory_bytes,
    )
    nonce = bindings.randombytes(bindings.crypto_secretbox_NONCEBYTES)
    box = nonce + bindings.crypto_secretbox(seed + document.sealed_hash(), nonce, key)
    text = json.dumps(
        document.model_copy(update={"box": _b64(box)}).model_dump(), indent=1, ensure_ascii=False
    )
    _write_new(path, text.encode() + b"\n")
    return info


def read_key_file(path: Path, passphrase: bytes) -> LoadedKey:
    """Opens a key file.

    Raises ConfigurationError, which names the file and says what to do: missing,
    readable by others, not a key file, or not opened by this passphrase.
    """
    document = _read_document(path)
    info = _decode_info(path, document)
    try:
        salt = base64.b64decode(document.kdf.salt, validate=True)
        box = base64.b64decode(document.box, validate=True)
    except ValueError:  # also text that is not ASCII
        raise _foreign(path, "its Base64 is broken") from None
    nonce, sealed = box[: bindings.crypto_secretbox_NONCEBYTES], box[bindings.crypto_secretbox_NONCEBYTES :]
    size = SEED_BYTES + 32 + bindings.crypto_secretbox_MACBYTES
    if len(salt) != SALT_BYTES or len(sealed) != size:
        raise _foreign(path, "its salt or box has a wrong length")
    key = argon2id(
        passphrase,
        salt,
        length=bindings.crypto_secretbox_KEYBYTES,
        operations=document.kdf.operations,
        memory_bytes=document.kdf.memory_bytes,
    )
    try:
        opened = bindings.crypto_secretbox_open(sealed, nonce, key)
    except CryptoError:
        raise KeyFileLockedError(
            f"the passphrase does not open {path}: check that it is the one of this file, "
            "or restore the file from its backup if it was damaged"
        ) from None
    seed, sealed_hash = opened[:SEED_BYTES], opened[SEED_BYTES:]
    if not bindings.sodium_memcmp(sealed_hash, document.sealed_hash()):
        raise KeyFileDamageError(f"{path} was changed after it was made: restore it from its backup")
    loaded = LoadedKey(info, seed)
    if info.public is not None and loaded.private.public != info.public:
        raise KeyFileDamageError(f"{path} contains another key than it names: restore it from its backup")
    return loaded


def read_key_info(path: Path) -> KeyInfo:
    """The public fields of a key file. Without its passphrase they are not authenticated.

    Raises ConfigurationError as `read_key_file` does.
    """
    return _decode_info(path, _read_document(path))


def read_key_cost(path: Path) -> Cost:
    """How slowly a key file opens. Raises ConfigurationError as `read_key_file` does."""
    kdf = _read_document(path).kdf
    return "development" if (kdf.operations, kdf.memory_bytes) == _COSTS["development"] else "production"


def _read_document(path: Path) -> _Document:
    check_secret_file(path, "key file")
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise read_error(f"key file {path}", error) from None
    if len(data) > _MAX_FILE_BYTES:
        raise _foreign(path, f"it is longer than {_MAX_FILE_BYTES} bytes")
    try:
        return _Document.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _foreign(path, f"{where}: {first['msg']}") from None


def _decode_info(path: Path, document: _Document) -> KeyInfo:
    try:
        public = None if document.public is None else bytes.fromhex(document.public)
        info = KeyInfo(
            KeyPurpose(document.purpose),
            check_realm(document.realm),
            document.participant,
            document.name,
            public,
            parse_rfc3339(document.created),
            None if document.not_before is None else parse_rfc3339(document.not_before),
            None if document.not_after is None else parse_rfc3339(document.not_after),
        )
    except (ValueError, InvalidInputError):
        raise _foreign(path, "a purpose, realm, key or time in it is not valid") from None
    if (info.purpose is KeyPurpose.INDEX) != (public is None) or (public and len(public) != 32):
        raise _foreign(path, "its public key does not fit its purpose")
    return info


def _foreign(path: Path, why: str) -> KeyFileDamageError:
    return KeyFileDamageError(f"{path} is no key file of format {FORMAT} ({why}): restore it from its backup")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _write_new(path: Path, data: bytes) -> None:
    try:
        write_new(path, data)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already, and a key file is never overwritten") from None
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be written: {error.strerror}") from None
