"""The history checker catches each bad history and passes good ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from healthcode.trust.store import TrustStore
from healthcode.verification.verifier import Verifier
from tests.federation.history import Log, Look, Revoke, Rule, check_history, read_looks
from tests.federation.node import code_text, numbers
from tests.simulator.country import REALM as COUNTRY_REALM
from tests.simulator.country import TODAY, Country
from tests.simulator.realm import NOW

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
    "a list lost an entry: somebody un-revoked": (
        Rule.WENT_BACK,
        [
            look(1, "REVOKED", growing={"31.revoked": 2, "31.head": 4}),
            look(2, "STALE_TRUST", growing={"31.revoked": 1, "31.head": 5}),
        ],
    ),
    "accepted after refusing, and after a restart in between": (
        Rule.ACCEPTED_AFTER_REFUSING,
        [look(1, "REVOKED"), look(30, "STALE_TRUST"), look(31, "VALID"), look(32, "REVOKED", final=True)],
    ),
    "a restored registry brought back a version": (
        Rule.WENT_BACK,
        [
            look(1, "VALID", growing={"timestamp": 90, "snapshot": 50, "31.live": 9}),
            look(2, "VALID", growing={"timestamp": 91, "snapshot": 51, "31.live": 8}),
        ],
    ),
    "a restored registry gave a version a second content": (
        Rule.FORKED,
        [
            look(1, "VALID", contents={"31.head@9": "aa"}),
            look(60, "VALID", node="11", contents={"31.head@9": "bb"}),
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
    """A good history breaks no rule."""
    assert check_history(GOOD[name], [revoke()]) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_histories_are_caught(name: str) -> None:
    """Each bad history breaks its own rule and no other."""
    rule, looks = BAD[name]
    assert {each.rule for each in check_history(looks, [revoke()])} == {rule}


def test_what_was_never_acknowledged_may_or_may_not_have_happened() -> None:
    """A revocation that a kill cut off may be refused or accepted."""
    for outcome in ("VALID", "REVOKED"):
        assert check_history([look(9, outcome, final=True)], [revoke(ended=None)]) == []


def test_what_is_acknowledged_later_is_not_owed_yet() -> None:
    """A final look must refuse only what was acknowledged before it."""
    assert check_history([look(9, "VALID", final=True)], [revoke(8.9, 9.1)]) == []


def test_a_code_that_nobody_revoked_is_refused_without_cause() -> None:
    """Refusing a code before its revocation began is an anomaly."""
    (anomaly,) = check_history([look(9, "REVOKED")], [])
    assert anomaly.rule is Rule.REFUSED_WITHOUT_CAUSE


def test_what_a_killed_process_logged_is_held_against_the_next(tmp_path: Path) -> None:
    """After kill -9 a node must refuse what it refused before, although another log has it."""
    first, second = Log(tmp_path / "first"), Log(tmp_path / "second")
    first.add(look(1, "REVOKED", growing={"snapshot": 7}))
    second.add(look(9, "VALID", growing={"snapshot": 6}))
    for log in (first, second):
        log.close()
    looks = read_looks([tmp_path / "second", tmp_path / "first"])
    found = {each.rule for each in check_history(looks, [revoke()])}
    assert found == {Rule.ACCEPTED_AFTER_REFUSING, Rule.WENT_BACK}


def test_a_node_whose_folder_is_put_back_is_caught(tmp_path: Path) -> None:
    """A trust folder replaced by yesterday's copy is caught, with real files and a real verifier."""
    country = Country(tmp_path)
    code = "31/1"
    country.revoke("31", 2)
    country.refresh("A")
    shutil.copytree(tmp_path / "A", tmp_path / "yesterday", symlinks=True)
    country.revoke("31", 1)
    country.refresh("A")

    def see(began: float) -> Look:
        """What the node answers after opening its folder."""
        view = TrustStore.open(tmp_path / "A").view
        text = code_text(COUNTRY_REALM, NOW, code)
        outcome = Verifier(view).verify(text, now=NOW).outcome.value
        growing, contents = numbers(view, TODAY)
        return Look("A", began, began + 0.1, {code: outcome}, growing, contents)

    asked = [Revoke("31", "31/2", 0, 0.1), Revoke("31", code, 0.2, 0.3)]
    looks = [see(1), see(2)]
    assert looks[0].outcomes == {code: "REVOKED"}
    assert check_history(looks, asked) == []
    shutil.rmtree(tmp_path / "A")
    shutil.copytree(tmp_path / "yesterday", tmp_path / "A", symlinks=True)
    looks.append(see(3))
    found = check_history(looks, asked)
    assert {each.rule for each in found} == {Rule.ACCEPTED_AFTER_REFUSING, Rule.WENT_BACK}
    fell = {each.what.partition(":")[0] for each in found if each.rule is Rule.WENT_BACK}
    assert {"snapshot", "timestamp", "31.live", "31.head", "31.revoked"} <= fell
    country.refresh("A")
    assert {each.rule for each in check_history([*looks[:2], see(4)], asked)} == set()


def test_a_log_is_read_up_to_where_it_was_cut_off(tmp_path: Path) -> None:
    """A last line that a kill cut off is ignored."""
    log = Log(tmp_path / "log")
    looks = [look(1, "VALID", growing={"snapshot": 1}), look(2, "REVOKED", contents={"31@1": "aa"})]
    for each in looks:
        log.add(each)
    log.close()
    with (tmp_path / "log").open("a") as file:
        file.write('{"node": "44", "beg')
    assert read_looks([tmp_path / "log"]) == looks
