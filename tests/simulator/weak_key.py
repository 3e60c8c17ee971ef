"""A public key of mixed order, whose signatures strict verification accepts (docs/wire-format.md, section 2)."""

from __future__ import annotations

import hashlib

from nacl import bindings

from healthcode.signing.ed25519 import SEED_BYTES, SIGNATURE_BYTES, PrivateKey

SMALL_ORDER = b"\x01" + bytes(31)
"""The identity: no signature under it passes strict verification."""

_ORDER_2 = b"\xec" + b"\xff" * 30 + b"\x7f"


# A = [a]B + T, where T has order 2. A signature verifies if k is even, because then [k]T is the identity: one
# nonce in two. Two keys that differ by T share signatures, so such a key must never be admitted.
class MixedOrderKey(PrivateKey):
    """Signs as any key does. Its signatures verify, although its public key is not in the prime-order group."""

    __slots__ = ("_scalar",)

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._scalar = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(seed).digest())
        point = bindings.crypto_scalarmult_ed25519_base_noclamp(self._scalar)
        self._public = bindings.crypto_core_ed25519_add(point, _ORDER_2)

    def sign(self, message: bytes) -> bytes:
        """Tries nonces until k is even."""
        count = 0
        while True:
            count += 1
            nonce = _scalar(self._secret[:SEED_BYTES], message, count.to_bytes(4))
            commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
            challenge = _scalar(commitment, self._public, message)
            if challenge[0] % 2 == 0:
                product = bindings.crypto_core_ed25519_scalar_mul(challenge, self._scalar)
                signature = commitment + bindings.crypto_core_ed25519_scalar_add(nonce, product)
                assert len(signature) == SIGNATURE_BYTES
                return signature


def _scalar(*parts: bytes) -> bytes:
    return bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"".join(parts)).digest())
