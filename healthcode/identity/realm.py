"""Realms: one federation is `cn`, every other is `test-…`, and nothing signed in one holds in another.

The realm stands in the external data of every signature, in every peer's URI and
in the TUF root. The prefix of a code's text only tells the two kinds apart.
"""

from __future__ import annotations

import re

from healthcode.errors import InvalidInputError, Reason

__all__ = ["PRODUCTION", "Realm", "check_realm", "code_prefix", "is_test_realm"]

Realm = str
PRODUCTION = "cn"

_REALM = re.compile(r"cn|test-[a-z0-9-]{1,32}")


def check_realm(text: str) -> Realm:
    """`text` when it names a realm. Raises InvalidInputError (REALM_MISMATCH) otherwise."""
    if _REALM.fullmatch(text) is None:
        raise InvalidInputError(
            f"{text[:48]!r} is no realm: use cn, or test- and 1 to 32 of a-z, 0-9 and -",
            reason=Reason.REALM_MISMATCH,
            fields={"realm": "cn or test-NAME"},
        )
    return text


def is_test_realm(realm: Realm) -> bool:
    """Whether `realm` is one in which nothing counts."""
    return realm != PRODUCTION


def code_prefix(realm: Realm) -> str:
    """What the text of every code of `realm` begins with."""
    return "CNHC1:" if realm == PRODUCTION else "CNHT1:"
