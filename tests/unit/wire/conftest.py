"""Keys, claims and a code that the tests of the wire format share."""

import pytest

from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire.claims import CodeClaims, Level, Presentation


@pytest.fixture(scope="session")
def key():
    return PrivateKey(bytes(range(32)))


@pytest.fixture(scope="session")
def claims():
    return CodeClaims(
        issuer="31",
        issued_at=1_800_000_000,
        expires_at=1_800_003_600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=123_456_789,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=b"\x12\x34",
        salt=bytes(range(8)),
        name="张*三",
    )
