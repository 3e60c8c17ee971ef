"""`healthcode inspect`: what is written, marked as unverified."""

from __future__ import annotations

from tests.simulator.realm import SimulatedRealm
from tests.unit.cli.command import code, healthcode


def test_shows_what_is_written(realm: SimulatedRealm) -> None:
    """Every claim, and that nothing of it was verified; no trust is needed."""
    done = healthcode("inspect", "--json", code(realm, tagged=True))
    assert done.status == 0
    written = done.json()
    assert written["verified"] is False
    assert (written["issuer"], written["level"], written["rule"], written["index"]) == (
        "31",
        "GREEN",
        "R1",
        7,
    )
    assert written["realm"] == "a test realm"
    assert written["expires_at"] == "2026-11-21T08:30:00Z"


def test_a_person_cannot_take_it_for_a_verdict(realm: SimulatedRealm) -> None:
    """The first words are NOT VERIFIED."""
    assert healthcode("inspect", code(realm)).out.startswith("NOT VERIFIED")


def test_a_forged_code_is_shown_all_the_same(realm: SimulatedRealm) -> None:
    """A wrong signature is not looked at."""
    done = healthcode("inspect", "--json", code(realm, signer=realm.key("a stranger")))
    assert (done.status, done.json()["verified"], done.json()["level"]) == (0, False, "GREEN")


def test_garbage_names_the_rule() -> None:
    """Status 1, with the rule that was broken."""
    done = healthcode("inspect", "--json", "CNHT1:???")
    assert done.status == 1
    assert done.json()["malformed"] == "base45.character"


def test_one_bad_line_hides_no_other(realm: SimulatedRealm) -> None:
    """Of many lines each is shown; status 1 when any is no code."""
    done = healthcode("inspect", "--json", "-", stdin=f"{code(realm)}\nbad\n{code(realm)}\n".encode())
    assert done.status == 1
    assert ["malformed" in one for one in done.json()] == [False, True, False]


def test_what_begins_like_no_code_hears_how_codes_begin() -> None:
    """Both prefixes are named, for whoever took another QR code."""
    done = healthcode("inspect", "--json", "hello")
    assert done.status == 1
    assert "CNHC1:" in done.json()["message"]
    assert "CNHT1:" in done.json()["message"]
