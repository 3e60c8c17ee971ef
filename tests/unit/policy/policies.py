"""Policy books and facts for the tests of the policy."""

from __future__ import annotations

import itertools
import json
from typing import Any

from healthcode.clock import parse_rfc3339
from healthcode.policy.book import PolicyBook
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.policy.decide import Facts
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

NOW = parse_rfc3339("2026-11-21T08:00:00Z")


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(default_policy_bytes())
    return loaded


def book(change: dict[str, Any] | None = None, **fields: Any) -> PolicyBook:
    written = change or document()
    written["policies"][0].update(fields)
    return decode_policy(json.dumps(written).encode())


def facts(outcome: Outcome = Outcome.VALID, level: Level | None = Level.GREEN, **changes: Any) -> Facts:
    base = Facts(outcome, level, TrustTier.FRESH, PlaceType.OTHER, None, PersonCategory.GENERAL)
    return base._replace(**changes)


def every_fact() -> list[Facts]:
    return [
        Facts(*row)
        for row in itertools.product(
            Outcome, [None, *Level], TrustTier, PlaceType, [None, *RiskLevel], PersonCategory
        )
    ]


def two_policies(second_from: str, **second: Any) -> dict[str, Any]:
    written = document()
    written["policies"].append(
        {**written["policies"][0], "version": "2026.2", "effective_from": second_from, **second}
    )
    return written
