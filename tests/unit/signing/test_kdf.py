"""Argon2id: the same as another implementation, and a typed error when memory is not to be had."""

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from healthcode.errors import InternalError
from healthcode.signing.kdf import argon2id


@pytest.mark.parametrize(
    ("secret", "length", "operations", "memory_kib"),
    [
        (b"password", 32, 3, 256),
        (b"", 16, 1, 8),
        ("口令".encode(), 16, 2, 19 * 1024),
        (b"x" * 1024, 64, 4, 64),
    ],
)
def test_it_is_the_argon2id_of_rfc_9106(secret, length, operations, memory_kib):
    """OpenSSL's implementation, with one lane and no key or extra data, gives the same bytes."""
    salt = bytes(range(16))
    other = Argon2id(salt=salt, length=length, iterations=operations, lanes=1, memory_cost=memory_kib)
    ours = argon2id(secret, salt, length=length, operations=operations, memory_bytes=memory_kib * 1024)
    assert ours == other.derive(secret)


def test_no_memory_is_a_typed_error():
    """Asking for more than may be had does not end the process."""
    with pytest.raises(InternalError):
        argon2id(b"x", bytes(16), length=32, operations=1, memory_bytes=2**46)
