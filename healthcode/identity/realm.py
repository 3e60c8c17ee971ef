"""Realms: one federation is `cn`, every other is `test-…`. A signature of one realm is not valid in another."""

from __future__ import annotations

import re

from healthcode.errors import InvalidInputError, Reason

__all__ = ["PRODUCTION", "Realm", "check_realm", "code_prefix", "is_test_realm"]

Realm = str
PRODUCTION = "cn"

_REALM = re.compile(r"cn|test-[a-z0-9-]{1,32}")


def check_realm(text: str) -> Realm:
    """Returns `text` if it names a realm. Raises InvalidInputError (REALM_MISMATCH) otherwise."""
    if _REALM.fullmatch(text) is None:
        raise InvalidInputError(
            f"{text[:48]!r} is not a realm: use cn, or test- and 1 to 32 of a-z, 0-9 and -",
            reason=Reason.REALM_MISMATCH,
            fields={"realm": "cn or test-NAME"},
        )
    return text


def is_test_realm(realm: Realm) -> bool:
    """Whether `realm` is for tests: its codes have no force."""
    return realm != PRODUCTION


def code_prefix(realm: Realm) -> str:
    """The first characters of every code of `realm`. They only tell `cn` from test realms."""
    return "CNHC1:" if realm == PRODUCTION else "CNHT1:"
