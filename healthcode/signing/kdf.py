"""Argon2id (RFC 9106, version 1.3, one lane), as libsodium computes it."""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError

from healthcode.errors import InternalError

__all__ = ["SALT_BYTES", "argon2id"]

SALT_BYTES = 16


def argon2id(secret: bytes, salt16: bytes, *, length: int, operations: int, memory_bytes: int) -> bytes:
    """Derives `length` bytes (at least 16; the length enters the hash) from `secret`.

    `operations` is Argon2's t; `memory_bytes` is its m in bytes (libsodium rounds down to KiB); p is 1.
    Raises InternalError when the memory is not available.
    """
    try:
        derived: bytes = bindings.crypto_pwhash_alg(
            length, secret, salt16, operations, memory_bytes, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
    except (CryptoError, MemoryError) as error:
        raise InternalError(f"Argon2id could not use {memory_bytes} bytes of memory") from error
    return derived
