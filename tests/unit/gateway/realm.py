"""Participants with fixed keys for the gateway's tests, and their signed questions and answers."""

from __future__ import annotations

import hashlib
from typing import Any

from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView, TrustView
from healthcode.wire.question import decode_question
from tests.world.exchange import signed_answer, signed_question
from tests.world.views import issuer_key, issuer_view, trust_view

REALM = "test-gateway"
NOW = 1_800_000_000
CODE = bytes(range(200))


def private_key(participant: str, purpose: KeyPurpose) -> PrivateKey:
    """The one key that a participant has for a purpose."""
    return PrivateKey(hashlib.sha256(f"{participant} {purpose}".encode()).digest())


def issuer(participant: str, *, endpoint: str | None = None, tls_ca: tuple[str, ...] = ("CA",)) -> IssuerView:
    """A participant with an ANSWER and a QUESTION key."""
    keys = [
        issuer_key(private_key(participant, purpose), purpose, now=NOW, not_after=NOW + 10 * 365 * 86_400)
        for purpose in (KeyPurpose.ANSWER, KeyPurpose.QUESTION)
    ]
    endpoints = {} if endpoint is None else {"federation": endpoint}
    return issuer_view(participant, keys, now=NOW, tls_ca=tls_ca, endpoints=endpoints)


def view(*issuers: IssuerView) -> TrustView:
    """A gateway's trust in these participants."""
    return trust_view(REALM, issuers, now=NOW)


def question(asker: str = "44", home: str = "31", **changes: Any) -> bytes:
    """A signed question."""
    key = private_key(asker, KeyPurpose.QUESTION)
    return signed_question(REALM, key, **{"asker": asker, "home": home, "code": CODE, "now": NOW, **changes})


def answer(asked: bytes, *, key: PrivateKey | None = None, now: int = NOW, **changes: Any) -> bytes:
    """An honest home's answer to a question; `changes` make it dishonest."""
    home = str(changes.get("home") or decode_question(asked).question.home)
    return signed_answer(REALM, key or private_key(home, KeyPurpose.ANSWER), asked, now=now, **changes)
