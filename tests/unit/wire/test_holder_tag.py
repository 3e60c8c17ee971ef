"""The holder tag: a known answer, and who is a match, a mismatch, or not to be compared."""

import hashlib

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from healthcode.errors import InvalidInputError
from healthcode.identity.document import decode_document
from healthcode.wire.holder_tag import HolderMatch, holder_tag, match_holder

ZHANG = decode_document("10", "11010519491231002X")
OTHER = decode_document("10", "440524188001010014")
PASSPORT = decode_document("20", "E12345678")
SALT = bytes(range(8))


@pytest.mark.parametrize(
    ("document", "secret"), [(ZHANG, b"1011010519491231002X"), (PASSPORT, b"20E12345678")]
)
def test_the_tag_is_the_documented_argon2id(document, secret):
    """Another implementation, fed as docs/wire-format.md says, gives the same two bytes."""
    salt = hashlib.sha256(b"healthcode/1/holder-tag" + SALT).digest()[:16]
    other = Argon2id(salt=salt, length=16, iterations=2, lanes=1, memory_cost=19 * 1024)
    assert holder_tag(document, SALT) == other.derive(secret)[:2]


def test_the_salt_changes_the_tag():
    """The same person has another tag tomorrow, so codes of two days are not linked by it."""
    tags = {holder_tag(ZHANG, bytes([day] * 8)) for day in range(4)}
    assert len(tags) > 1


def test_who_matches(claims):
    """The holder's card matches, a stranger's does not, and another kind of document is not comparable."""
    code = claims._replace(tag=holder_tag(ZHANG, SALT), salt=SALT)
    assert match_holder(code, ZHANG) is HolderMatch.MATCH
    assert match_holder(code, OTHER) is HolderMatch.MISMATCH
    assert match_holder(code, PASSPORT) is HolderMatch.NOT_COMPARABLE


def test_a_holder_without_a_resident_card(claims):
    """A tag made from a passport matches that passport; a stranger's passport is not comparable."""
    code = claims._replace(tag=holder_tag(PASSPORT, SALT), salt=SALT)
    assert match_holder(code, PASSPORT) is HolderMatch.MATCH
    assert match_holder(code, decode_document("20", "E87654321")) is HolderMatch.NOT_COMPARABLE


def test_a_code_without_a_tag_is_not_comparable(claims):
    """Nothing to compare is said as such, and costs nothing."""
    assert match_holder(claims._replace(tag=None, salt=None), ZHANG) is HolderMatch.NOT_COMPARABLE


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_a_salt_is_8_bytes(size):
    """Another length is a typed error."""
    with pytest.raises(InvalidInputError):
        holder_tag(ZHANG, bytes(size))
