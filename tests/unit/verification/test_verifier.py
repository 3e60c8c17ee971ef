"""The SDK: the verifier, and what the package exports."""

from __future__ import annotations

import subprocess
import sys

import pytest

import healthcode
from healthcode.errors import InvalidInputError
from healthcode.policy.words import Decision, Outcome, PlaceType
from healthcode.verification.verifier import Verifier
from tests.unit.verification.realm import NOW, REVOKED_INDEX, code, issuer, view
from tests.world.clock import ManualClock


def test_the_exports_are_frozen() -> None:
    """These names are the SDK; adding or dropping one is a decision, not an accident."""
    assert healthcode.__all__ == [
        "Decision",
        "HealthcodeError",
        "Level",
        "Outcome",
        "TrustStore",
        "Verdict",
        "Verifier",
        "clean_scan",
    ]
    for name in healthcode.__all__:
        assert getattr(healthcode, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = healthcode.Nothing


def test_importing_the_package_loads_nothing_else() -> None:
    """Names come when they are used, so that a command starts at once."""
    script = "import sys, healthcode; print(sorted(m for m in sys.modules if m.startswith(('healthcode.', 'tuf'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_place_is_a_word_or_a_place_type() -> None:
    """Both spellings decide alike, and the clock is asked when no time is given."""
    verifier = Verifier(view(), clock=ManualClock(NOW))
    assert verifier.verify(code(), place="AIRPORT") == verifier.verify(
        code(), place=PlaceType.AIRPORT, now=NOW
    )


@pytest.mark.parametrize("word", ["airport", "Airport", "AIRPORT"])
def test_words_are_taken_in_any_case(word: str) -> None:
    """As the commands take them: a place in small letters is no unknown place."""
    verifier = Verifier(view(), clock=ManualClock(NOW))
    assert verifier.verify(code(), place=word, category="general") == verifier.verify(
        code(), place=PlaceType.AIRPORT
    )


@pytest.mark.parametrize("text", [None, 3, b"CNHC1:", ["CNHC1:"]])
def test_what_is_no_text_is_a_typed_error(text: object) -> None:
    """A program's slip is an InvalidInputError of ours, alone and among many."""
    verifier = Verifier(view(), clock=ManualClock(NOW))
    with pytest.raises(InvalidInputError, match="a str"):
        verifier.verify(text)  # type: ignore[arg-type]  # the slip
    with pytest.raises(InvalidInputError, match="a str"):
        verifier.verify_many([code(), text])  # type: ignore[list-item]  # the same
    for slip in ({"area": 310115}, {"item_id": 7}):
        with pytest.raises(InvalidInputError, match="is text, not int"):
            verifier.verify(code(), **slip)  # type: ignore[arg-type]  # the same


def test_one_text_is_not_taken_for_many() -> None:
    """A str is not split into its characters."""
    with pytest.raises(InvalidInputError, match="use verify for one"):
        Verifier(view()).verify_many(code(), now=NOW)


def test_many_are_answered_in_order() -> None:
    """results[i] answers texts[i], one bad text changes no other, and threads change nothing."""
    texts = [code(index=REVOKED_INDEX) if number % 3 else code() for number in range(300)]
    texts[100] = "garbage"
    verifier = Verifier(view())
    verdicts = verifier.verify_many(texts, now=NOW)
    assert [verdict.item_id for verdict in verdicts] == [str(number) for number in range(300)]
    expected = [Outcome.REVOKED if number % 3 else Outcome.VALID for number in range(300)]
    expected[100] = Outcome.MALFORMED
    assert [verdict.outcome for verdict in verdicts] == expected
    assert verifier.verify_many(texts, now=NOW, threads=1) == verdicts
    assert verifier.verify_many([], now=NOW) == []


def test_newer_trust_is_swapped_in_whole() -> None:
    """After `swap` the new view decides."""
    verifier = Verifier(view())
    assert verifier.verify(code(), now=NOW).decision is Decision.PASS
    verifier.swap(view(issuer("00")))
    assert verifier.verify(code(), now=NOW).outcome is Outcome.UNKNOWN_ISSUER
