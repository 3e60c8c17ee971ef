"""Ed25519 by one rule for all: strict cofactorless (docs/wire-format.md 2.1), as PyNaCl's libsodium computes it.

Every signature except those of TUF metadata and TLS is checked here. There is no batch equation: a sound one accepts more.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources

from nacl import bindings
from nacl.exceptions import BadSignatureError

from healthcode.errors import InternalError, InvalidInputError

__all__ = [
    "KID_BYTES",
    "PUBLIC_BYTES",
    "SEED_BYTES",
    "SIGNATURE_BYTES",
    "PrivateKey",
    "is_valid_point",
    "kid",
    "self_test",
    "verify",
]

PUBLIC_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64
KID_BYTES = 8

_SPECCHECK_ACCEPTED = {3}
# the cases whose key may be admitted; the other keys are of small or mixed order (CVE-2025-69277)
_SPECCHECK_ADMITTED = {6, 7}


class PrivateKey:
    """A signing key. Neither repr nor str shows it. Only key files call `seed()`."""

    __slots__ = ("_public", "_secret")

    def __init__(self, seed: bytes) -> None:
        """Raises InvalidInputError unless `seed` is 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise InvalidInputError(f"a seed is {SEED_BYTES} bytes, this one has {len(seed)}")
        self._public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key from the system's randomness."""
        return cls(bindings.randombytes(SEED_BYTES))

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._public

    def seed(self) -> bytes:
        """The 32 secret bytes."""
        return self._secret[:SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature. The same message always gives the same bytes."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"PrivateKey(kid={kid(self._public).hex()})"

    def __reduce__(self) -> str:
        raise InternalError("a private key cannot be pickled")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` of `message` is valid under `public`. Never raises."""
    # the binding takes signature ‖ message: a wrong length would move the border between them
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError):
        return False
    return True


def is_valid_point(public: bytes) -> bool:
    """Whether a key may be admitted: canonical, on the curve, of prime order, not the identity."""
    return len(public) == PUBLIC_BYTES and bindings.crypto_core_ed25519_is_valid_point(public)


def kid(public: bytes) -> bytes:
    """The key id: the first 8 bytes of SHA-256 of the public key. A hint, not a proof."""
    return hashlib.sha256(public).digest()[:KID_BYTES]


def self_test() -> None:
    """Proves that the installed library keeps the rule. Services call it before they serve.

    The library must accept exactly case 3 of the 12 ed25519-speccheck cases, and admit none of their keys of small or
    mixed order. Raises InternalError: this installation must not verify anything.
    """
    text = resources.files("healthcode.signing").joinpath("speccheck.json").read_text("utf-8")
    cases = json.loads(text)["cases"]
    accepted = {
        number
        for number, case in enumerate(cases)
        if verify(*(bytes.fromhex(case[part]) for part in ("pub_key", "message", "signature")))
    }
    admitted = {number for number, case in enumerate(cases) if is_valid_point(bytes.fromhex(case["pub_key"]))}
    if len(cases) != 12 or accepted != _SPECCHECK_ACCEPTED or admitted != _SPECCHECK_ADMITTED:
        raise InternalError(
            f"this installation's libsodium accepts the ed25519-speccheck cases {sorted(accepted)} instead of [3], "
            f"or admits the keys of {sorted(admitted)} instead of [6, 7]: install PyNaCl >= 1.6.2 from its wheel, "
            "never built with SODIUM_INSTALL=system"
        )
