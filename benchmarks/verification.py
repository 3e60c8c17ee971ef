"""A whole verdict against its one signature check: the cost of strictness, policy and look-up."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Figure, benchmark, median_seconds, ratio
from healthcode.policy.words import Outcome
from healthcode.signing.ed25519 import verify
from healthcode.verification.verifier import Verifier
from healthcode.wire.code import decode_code
from tests.unit.verification.realm import LIVE, NOW, REALM, code, view

ROUNDS = 15
CODES = 400


@benchmark("verification_vs_signature", "verification_per_second")
def verdict() -> Iterator[Figure]:
    """Uses different codes each time, so that no cache decides."""
    texts = [code(index=1000 + number) for number in range(CODES)]
    verifier = Verifier(view())
    if any(verifier.verify(text, place="STATION", now=NOW).outcome is not Outcome.VALID for text in texts):
        raise RuntimeError("the codes to measure with are not valid")
    messages = [(b"x" * len(decode_code(text, REALM).sign1.payload), text) for text in texts]
    signed = [(message, LIVE.sign(message)) for message, _ in messages]
    public = LIVE.public

    def whole() -> None:
        for text in texts:
            verifier.verify(text, place="STATION", now=NOW)

    def signature() -> None:
        for message, mark in signed:
            verify(public, message, mark)

    yield Figure(
        "verification_vs_signature",
        "text to verdict ÷ the bare Ed25519 check of as many bytes, one thread",
        ratio(whole, signature, rounds=ROUNDS),
        "ratio",
        None,
        ROUNDS,
    )
    yield Figure(
        "verification_per_second",
        "verdicts on one thread",
        CODES / median_seconds(whole, rounds=ROUNDS),
        "1/s",
        None,
        ROUNDS,
    )
