"""Ed25519 keys in TUF's form."""

import pytest
from securesystemslib.signer import SSlibKey

from healthcode.errors import DecodeError
from healthcode.trust.format.tuf_keys import public_of, tuf_key
from tests.simulator.realm import fixed_key

A, B, C = (fixed_key(name) for name in "abc")


def test_keys_are_ed25519_under_their_own_ids() -> None:
    """The id follows from the key, and from nothing else."""
    assert public_of(tuf_key(A.public)) == A.public
    for bad in (
        SSlibKey("00" * 32, "ed25519", "ed25519", {"public": A.public.hex()}),
        SSlibKey(tuf_key(A.public).keyid, "ecdsa", "ecdsa-sha2-nistp256", {"public": A.public.hex()}),
        SSlibKey("00" * 32, "ed25519", "ed25519", {"public": "zz" * 32}),
    ):
        with pytest.raises(DecodeError):
            public_of(bad)
