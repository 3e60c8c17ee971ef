"""Proofs that a participant possesses the keys that it publishes in province.json and for its live role."""

from __future__ import annotations

from healthcode.errors import Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import ProvinceKey
from healthcode.wire.cbor import encode
from healthcode.wire.cose import Context, sign_detached, verify_detached

__all__ = ["new_province_key", "prove_key", "verify_key_possession", "verify_proof"]


def prove_key(participant: str, purpose: KeyPurpose, key: PrivateKey, realm: str) -> bytes:
    """The key's own signature over (participant, purpose, public key), with the realm as external data."""
    return sign_detached(_statement(participant, purpose, key.public), key, Context.POSSESSION, realm)


def new_province_key(
    participant: str, purpose: KeyPurpose, key: PrivateKey, realm: str, *, not_before: int, not_after: int
) -> ProvinceKey:
    """An entry for province.json, with its proof of possession."""
    return ProvinceKey(
        kid=kid(key.public),
        public=key.public,
        purpose=purpose,
        not_before=not_before,
        not_after=not_after,
        possession=prove_key(participant, purpose, key, realm),
    )


def verify_key_possession(participant: str, key: ProvinceKey, realm: str) -> None:
    """Check the kid, the point and the proof of possession of a published key.

    Raises SignatureError(POSSESSION_UNPROVEN).
    """
    if key.kid != kid(key.public):
        raise SignatureError(
            f"participant {participant}: {key.purpose} key {key.kid.hex()} bears the id of another key",
            reason=Reason.POSSESSION_UNPROVEN,
        )
    verify_proof(participant, key.purpose, key.public, key.possession, realm)


def verify_proof(participant: str, purpose: KeyPurpose, public: bytes, proof: bytes, realm: str) -> None:
    """Check that `public` is a valid point and that `proof` is its own signature, as `prove_key` makes it.

    Raises SignatureError(POSSESSION_UNPROVEN).
    """
    where = f"participant {participant}: {purpose} key {kid(public).hex()}"
    if not is_valid_point(public):
        raise SignatureError(f"{where} is not a valid Ed25519 key", reason=Reason.POSSESSION_UNPROVEN)
    statement = _statement(participant, purpose, public)
    if not verify_detached(statement, proof, public, Context.POSSESSION, realm):
        raise SignatureError(f"{where} has no proof of possession", reason=Reason.POSSESSION_UNPROVEN)


def _statement(participant: str, purpose: KeyPurpose, public: bytes) -> bytes:
    return encode(["key", participant, purpose.value, public])
