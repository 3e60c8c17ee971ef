"""The checker itself: it must catch each bad history, and let good ones pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.federation.history import Log, Look, Revoke, Rule, check_history, read_looks

CODE = "31/7"


def look(began: float, outcome: str, *, node: str = "44", ended: float | None = None, **more: object) -> Look:
    return Look(node, began, began + 0.1 if ended is None else ended, {CODE: outcome}, **more)  # type: ignore[arg-type]  # named


def revoke(began: float = 0.0, ended: float | None = 0.1) -> Revoke:
    return Revoke("31", CODE, began, ended)


GOOD = {
    "refused for good": [look(0, "VALID"), look(1, "REVOKED"), look(2, "REVOKED", final=True)],
    "stale is not accepted": [look(1, "REVOKED"), look(2, "STALE_TRUST"), look(3, "REVOKED")],
    "another node is slower": [
        look(1, "REVOKED"),
        look(2, "VALID", node="11"),
        look(3, "REVOKED", node="11"),
    ],
    "concurrent looks have no order": [look(1, "REVOKED", ended=3), look(2, "VALID", ended=4)],
    "a look that ends later began earlier": [look(2, "REVOKED", ended=2.5), look(1, "VALID", ended=9)],
    "concurrent versions have no order": [
        look(1, "VALID", ended=3, growing={"snapshot": 5}),
        look(2, "VALID", ended=3, growing={"snapshot": 4}),
    ],
    "one content under one version": [
        look(1, "VALID", contents={"31@4": "aa"}),
        look(1, "VALID", node="11", contents={"31@4": "aa", "31@5": "bb"}),
    ],
}

BAD = {
    "accepted after refusing": (Rule.ACCEPTED_AFTER_REFUSING, [look(1, "REVOKED"), look(2, "VALID")]),
    "also much later, with others between": (
        Rule.ACCEPTED_AFTER_REFUSING,
        [look(1, "REVOKED"), look(2, "STALE_TRUST"), look(3, "REVOKED"), look(9, "VALID")],
    ),
    "behind a long look that is still running": (
        Rule.ACCEPTED_AFTER_REFUSING,
        [look(0, "VALID", ended=20), look(1, "REVOKED"), look(2, "VALID")],
    ),
    "in whatever order it was logged": (
        Rule.ACCEPTED_AFTER_REFUSING,
        [look(2, "VALID"), look(1, "REVOKED")],
    ),
    "a version fell": (
        Rule.WENT_BACK,
        [look(1, "VALID", growing={"snapshot": 5}), look(2, "VALID", growing={"snapshot": 4})],
    ),
    "a version fell, behind the highest and not the last": (
        Rule.WENT_BACK,
        [
            look(1, "VALID", growing={"31.revoked": 9}),
            look(2, "VALID", growing={"31.head": 3}),
            look(3, "VALID", growing={"31.revoked": 8}),
        ],
    ),
    "refused before anybody revoked": (Rule.REFUSED_WITHOUT_CAUSE, [look(-5, "REVOKED")]),
    "two contents under one version": (
        Rule.FORKED,
        [look(1, "VALID", contents={"31@4": "aa"}), look(1, "VALID", node="11", contents={"31@4": "ab"})],
    ),
    "acknowledged and accepted at the end": (Rule.LOST, [look(9, "VALID", final=True)]),
    "acknowledged and not known at the end": (Rule.LOST, [look(9, "STALE_TRUST", final=True)]),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_pass(name: str) -> None:
    """What is allowed breaks no rule."""
    assert check_history(GOOD[name], [revoke()]) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_histories_are_caught(name: str) -> None:
    """Each breaks its own rule, and no other."""
    rule, looks = BAD[name]
    assert {each.rule for each in check_history(looks, [revoke()])} == {rule}


def test_what_was_never_acknowledged_may_or_may_not_have_happened() -> None:
    """A revocation cut off by a kill obliges nobody, and explains a refusal."""
    for outcome in ("VALID", "REVOKED"):
        assert check_history([look(9, outcome, final=True)], [revoke(ended=None)]) == []


def test_what_is_acknowledged_later_is_not_owed_yet() -> None:
    """A look at rest answers for what was acknowledged before it."""
    assert check_history([look(9, "VALID", final=True)], [revoke(8.9, 9.1)]) == []


def test_a_code_that_nobody_revoked_is_refused_without_cause() -> None:
    """However late."""
    (anomaly,) = check_history([look(9, "REVOKED")], [])
    assert anomaly.rule is Rule.REFUSED_WITHOUT_CAUSE


def test_a_log_is_read_up_to_where_it_was_cut_off(tmp_path: Path) -> None:
    """A last line without its end was being written when the process was killed."""
    log = Log(tmp_path / "log")
    looks = [look(1, "VALID", growing={"snapshot": 1}), look(2, "REVOKED", contents={"31@1": "aa"})]
    for each in looks:
        log.add(each)
    log.close()
    with (tmp_path / "log").open("a") as file:
        file.write('{"node": "44", "beg')
    assert read_looks([tmp_path / "log"]) == looks
