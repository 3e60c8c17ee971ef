"""The fields that healthcode adds to TUF metadata."""

import pytest

from healthcode.errors import InvalidInputError
from healthcode.trust.format.metadata import Root
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.format.new_metadata import new_root
from tests.simulator.realm import NOW, fixed_key

A, B, C = (fixed_key(name) for name in "abc")


def root(realm: str = "test-metadata", threshold: int = 2) -> Root:
    keys = [A.public, B.public]
    return new_root(
        realm,
        root_keys=keys,
        root_threshold=threshold,
        operator_keys=keys,
        operator_threshold=threshold,
        snapshot_keys=[C.public],
        timestamp_keys=[C.public],
        now=NOW,
    ).signed


def test_a_root_names_its_realm() -> None:
    """Without one there is no trust; a realm that is none is refused at making too."""
    assert realm_of(root()) == "test-metadata"
    nameless = root()
    del nameless.unrecognized_fields["healthcode.realm"]
    for bad in (nameless,):
        with pytest.raises(InvalidInputError):
            realm_of(bad)
    with pytest.raises(InvalidInputError):
        root("everywhere")
