"""Each attack on the trust files has a reason of its own, so that a metric tells them apart."""

from __future__ import annotations

import pytest

from healthcode.errors import Reason
from tests.simulator.attack import attack_named

# beside these: slow retrieval is SOURCE_SLOW (test_retrieval.py), one province held back ISSUER_BEHIND (test_time.py)
OWN = {
    "arbitrary file": (
        Reason.SIGNATURE_INVALID,
        ["arbitrary policy", "arbitrary province", "arbitrary head"],
    ),
    "arbitrary metadata": (Reason.MALFORMED_MESSAGE, ["arbitrary timestamp", "arbitrary live"]),
    "rollback": (Reason.TRUST_ROLLBACK, ["old timestamp", "old snapshot", "province-31 taken back"]),
    "fast-forward": (
        Reason.TRUST_FAST_FORWARD,
        ["timestamp far ahead", "snapshot far ahead", "head far ahead"],
    ),
    "freeze": (Reason.TRUST_FROZEN, ["frozen registry"]),
    "mix-and-match": (Reason.TRUST_MIXED, ["mixed snapshot", "mixed roles"]),
    "endless data": (Reason.TOO_LARGE, ["oversized timestamp", "oversized policy", "oversized live"]),
    "a neighbour's key": (Reason.SIGNATURE_FOREIGN, ["neighbour's authority", "neighbour's live key"]),
    "another's path": (Reason.PATH_FORBIDDEN, ["neighbour's path", "neighbour's head"]),
    "targets lists a province": (Reason.TARGETS_OVERREACH, ["targets lists a province", "wider sibling"]),
    "targets re-delegates a province": (Reason.AUTHORITY_EXISTS, ["province delegated anew"]),
    "a shrunk list": (Reason.LIST_SHRANK, ["shrunk list", "emptied list"]),
    "an older list": (Reason.LIST_ROLLBACK, ["older list", "old head signed anew"]),
    "a corrupt list": (Reason.LIST_CORRUPT, ["arbitrary list", "list damaged by its issuer"]),
    "a truncated list": (Reason.LIST_TRUNCATED, ["truncated list", "list cut by its issuer"]),
    "an oversized list": (Reason.LIST_TOO_LARGE, ["oversized list"]),
    "a list of another day": (Reason.LIST_WRONG_DAY, ["list of another day"]),
    "a list of another issuer": (Reason.LIST_WRONG_ISSUER, ["list of another issuer", "head of a neighbour"]),
    "a list of another realm": (Reason.LIST_WRONG_REALM, ["list of another realm", "head of another realm"]),
}


@pytest.mark.parametrize(("reason", "names"), OWN.values(), ids=OWN)
def test_its_reason(reason: Reason, names: list[str]) -> None:
    """Each attack is refused by its reason, as in test_file.py."""
    assert {attack_named(name).reason for name in names} == {reason}


def test_no_two_share_one() -> None:
    """No two attacks share a reason, nor one with a slow source or a province held back."""
    reasons = [reason for reason, _ in OWN.values()]
    assert len({*reasons, Reason.SOURCE_SLOW, Reason.ISSUER_BEHIND}) == len(reasons) + 2
