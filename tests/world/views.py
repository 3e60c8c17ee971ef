"""Trust views made by hand, without files or a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from healthcode.policy.area import AreaRisk
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerKey, IssuerView, TrustView

__all__ = ["issuer_key", "issuer_view", "trust_view"]

_DAY_SECONDS = 86_400


def issuer_key(key: PrivateKey, purpose: KeyPurpose, *, now: int, **changes: Any) -> IssuerKey:
    """A published key that is valid for three days around `now`."""
    values: dict[str, Any] = {
        "kid": kid(key.public),
        "public": key.public,
        "alg": "Ed25519",
        "purpose": purpose,
        "not_before": now - 3 * _DAY_SECONDS,
        "not_after": now + 3 * _DAY_SECONDS,
    }
    return IssuerKey(**{**values, **changes})


def issuer_view(code: str, keys: Iterable[IssuerKey], *, now: int, **changes: Any) -> IssuerView:
    """A participant as its published files describe it, at their first versions."""
    values: dict[str, Any] = {
        "code": code,
        "keys": {key.kid: key for key in keys},
        "tls_ca": (),
        "endpoints": {},
        "revocations": None,
        "live_signed_at": now,
        "live_expires": now + _DAY_SECONDS,
        "province_version": 1,
        "province_expires": now + 90 * _DAY_SECONDS,
        "live_version": 1,
        "head_version": 1,
    }
    return IssuerView(**{**values, **changes})


def trust_view(realm: str, issuers: Iterable[IssuerView], *, now: int, **changes: Any) -> TrustView:
    """What a client knows of these participants, with the default policy."""
    values: dict[str, Any] = {
        "realm": realm,
        "root_version": 1,
        "timestamp_version": 1,
        "snapshot_version": 1,
        "targets_version": 1,
        "timestamp_signed_at": now,
        "issuers": {each.code: each for each in issuers},
        "policy": decode_policy(default_policy_bytes()),
        "areas": AreaRisk(),
        "services": {},
        "earliest_expiry": now + 3600,
    }
    return TrustView(**{**values, **changes})
