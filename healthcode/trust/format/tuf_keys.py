"""Ed25519 keys in the form that TUF metadata uses, and a TUF signer over our own private keys."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey
from tuf.api.metadata import Role

from healthcode.errors import DecodeError
from healthcode.signing.ed25519 import PrivateKey

__all__ = ["public_of", "tuf_key", "tuf_keys", "tuf_role", "tuf_signer"]


class _Ed25519Signer(Signer):
    """Signs TUF metadata. The private key stays inside `healthcode.signing`."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._public = tuf_key(key.public)

    @property
    def public_key(self) -> Key:
        return self._public

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> _Ed25519Signer:
        raise NotImplementedError("keys are read by healthcode.signing.keyfile")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._public.keyid, self._key.sign(payload).hex())


def tuf_key(public: bytes) -> Key:
    """The TUF form of an Ed25519 public key (32 bytes). The key alone determines its id."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))


def tuf_keys(*groups: Sequence[bytes]) -> dict[str, Key]:
    """The TUF form of all these public keys, by key id."""
    return {key.keyid: key for group in groups for key in map(tuf_key, group)}


def tuf_role(keys: Sequence[bytes], threshold: int) -> Role:
    """A top-level role that `threshold` of these keys must sign for."""
    return Role([tuf_key(key).keyid for key in keys], threshold)


def public_of(key: Key) -> bytes:
    """The 32 bytes of a TUF key. Raises DecodeError unless it is Ed25519 under its own id."""
    text = key.keyval.get("public")
    if key.keytype == "ed25519" and key.scheme == "ed25519" and isinstance(text, str) and len(text) == 64:
        try:
            public = bytes.fromhex(text)
        except ValueError as error:
            raise DecodeError("metadata.key", "a key of the metadata is not hex") from error
        if tuf_key(public).keyid == key.keyid:
            return public
    raise DecodeError("metadata.key", f"key {key.keyid[:16]} is not an Ed25519 key under its own id")


def tuf_signer(key: PrivateKey) -> Signer:
    """A securesystemslib signer over our own private key."""
    return _Ed25519Signer(key)
