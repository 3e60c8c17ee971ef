"""A small realm in memory, with fixed keys, for tests of verification."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from healthcode.policy.area import AreaRisk
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.revocation.state import RevocationState, build_state
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import (
    IssuerKey,
    IssuerView,
    TrustView,
)
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code

REALM = "test-verify"
NOW = 1_795_248_000  # 2026-11-21T08:00:00Z
DAY_SECONDS = 86_400

LIVE = PrivateKey(b"L" * 32)
PAPER = PrivateKey(b"P" * 32)
ANSWER = PrivateKey(b"A" * 32)
FOREIGN = PrivateKey(b"F" * 32)
REVOKED_INDEX = 77


def issuer_key(key: PrivateKey, purpose: KeyPurpose, **changes: Any) -> IssuerKey:
    base = IssuerKey(
        kid(key.public), key.public, "Ed25519", purpose, NOW - 3 * DAY_SECONDS, NOW + 3 * DAY_SECONDS
    )
    return replace(base, **changes)


def revocations(*, killed: frozenset[bytes] = frozenset(), days: int = 30) -> RevocationState:
    today = day_of(NOW)
    data = encode_list(RevocationList(REALM, "31", today, [REVOKED_INDEX, 1 << 29]))
    entry = DayEntry(1, 2, hashlib.sha256(data).digest(), len(data))
    head = Head(1, REALM, "31", today - 1, today - 1 + days, {today: entry}, killed)
    return build_state(head, lambda _: data)


def issuer(code: str = "31", *keys: IssuerKey, **changes: Any) -> IssuerView:
    keys = keys or (
        issuer_key(LIVE, KeyPurpose.LIVE),
        issuer_key(PAPER, KeyPurpose.PAPER),
        issuer_key(ANSWER, KeyPurpose.ANSWER),
    )
    base = IssuerView(
        code=code,
        keys={key.kid: key for key in keys},
        tls_ca=(),
        endpoints={},
        revocations=revocations(),
        live_signed_at=NOW - 30,
        live_expires=NOW + DAY_SECONDS,
        province_version=1,
        province_expires=NOW + 90 * DAY_SECONDS,
        live_version=1,
        head_version=1,
    )
    return replace(base, **changes)


def view(*issuers: IssuerView, **changes: Any) -> TrustView:
    issuers = issuers or (issuer(), issuer("00"))
    base = TrustView(
        realm=REALM,
        root_version=1,
        timestamp_version=9,
        snapshot_version=7,
        targets_version=2,
        timestamp_signed_at=NOW - 10,
        issuers={each.code: each for each in issuers},
        policy=decode_policy(default_policy_bytes()),
        areas=AreaRisk(),
        services={},
        earliest_expiry=NOW + 3600,
    )
    return replace(base, **changes)


def claims(**changes: Any) -> CodeClaims:
    base = CodeClaims(
        issuer="31",
        issued_at=NOW - 60,
        expires_at=NOW + 600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=6,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name="张*三",
    )
    return base._replace(**changes)


def code(key: PrivateKey = LIVE, realm: str = REALM, **changes: Any) -> str:
    return sign_code(claims(**changes), key, realm)
