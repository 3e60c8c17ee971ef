"""When roles, keys and certificates expire, and who must renew them, for `status` and the metrics.

A warning begins when a third of the lifetime is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Gauge

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.participant import participant
from healthcode.policy.book import PolicyBook
from healthcode.rpc.mtls.certificate import validity_of
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import ProvinceFile
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    authority_role,
    expiry_seconds,
    live_role,
    participant_of_role,
)
from healthcode.trust.format.metadata import expires_at
from healthcode.trust.verify.tls_ca import select_tls_cas
from healthcode.trust.verify.trust_state import TrustState

__all__ = [
    "DEADLINE_LABELS",
    "ENDS_HELP",
    "WARNS_HELP",
    "Deadline",
    "DeadlineMetrics",
    "actor_of",
    "acts_of",
    "certificate_deadline",
    "certificate_file_deadlines",
    "describe_deadline",
    "describe_policy",
    "participant_deadlines",
    "role_deadline",
    "state_deadlines",
]

WARN_FRACTION = 3
WARNS_HELP = "From when on a third of the life is left"
ENDS_HELP = "When a role, key or certificate ends"
DEADLINE_LABELS = ("kind", "name")


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that expires: valid from `begins` to `ends` (epoch seconds); `who` must act before.

    `kind` is role, key or certificate, and labels a metric. `replaced`: its successor is already there, so no
    action is needed. `killed`: a key that is refused from now on. If it is missing, `version` is empty and `ends` is 0.
    """

    kind: str
    name: str
    version: str
    begins: int
    ends: int
    who: str
    replaced: bool = False
    killed: bool = False

    @property
    def warns(self) -> int:
        """When a third of the lifetime is left."""
        return self.ends - (self.ends - self.begins) // WARN_FRACTION

    def must_act(self, now: int) -> bool:
        """Whether `who` must act now."""
        return not self.replaced and now > self.warns

    def note(self, now: int) -> str:
        """The note for an operator."""
        if self.killed:
            return "killed: what it signed is refused for ever"
        if self.replaced:
            return "ended" if now >= self.ends else "replaced: ends by itself"
        if self.ends == 0:
            return f"MISSING: {self.who} must act now"
        if now >= self.ends:
            return f"EXPIRED: {self.who} must act now"
        if self.must_act(now):
            return f"{self.who} must act before it expires"
        return "ok"


class DeadlineMetrics:
    """Two gauges by kind and name: when it expires, and when the warning begins."""

    def __init__(self, warns: Gauge, ends: Gauge) -> None:
        self._warns, self._ends = warns, ends

    @classmethod
    def of_service(cls, metrics: Metrics) -> DeadlineMetrics:
        """The gauges of a node or the gateway."""
        return cls(
            metrics.gauge("warns_timestamp_seconds", WARNS_HELP, DEADLINE_LABELS),
            metrics.gauge("ends_timestamp_seconds", ENDS_HELP, DEADLINE_LABELS),
        )

    def set(self, deadlines: Iterable[Deadline]) -> None:
        """Shows these deadlines and no others; replaced ones are not shown."""
        self._ends.clear()
        self._warns.clear()
        for each in deadlines:
            if not each.replaced:
                self._ends.labels(each.kind, each.name).set(each.ends)
                self._warns.labels(each.kind, each.name).set(each.warns)


def describe_deadline(deadline: Deadline, now: int) -> dict[str, Any]:
    """One line of `status`, as plain data."""
    return {
        deadline.kind: deadline.name,
        "version": int(deadline.version) if deadline.kind == "role" else deadline.version,
        "expires": rfc3339(deadline.ends) if deadline.ends else None,
        "warns": rfc3339(deadline.warns) if deadline.ends else None,
        "left_seconds": deadline.ends - now if deadline.ends else 0,
        "note": deadline.note(now),
    }


def acts_of(deadlines: Iterable[Deadline], now: int) -> list[dict[str, Any]]:
    """Who must act by when, for deadlines whose warning has begun."""
    return [
        {
            "who": each.who,
            "what": " ".join(word for word in (each.kind, each.name, each.version) if word),
            "by": rfc3339(each.ends or now),
        }
        for each in deadlines
        if each.must_act(now)
    ]


def describe_policy(book: PolicyBook, now: int) -> list[dict[str, Any]]:
    """The policy in force, then those to come. A policy ends when the next one begins."""
    upcoming = book.upcoming(now)
    return [
        {
            "policy": each.version,
            "effective_from": rfc3339(each.effective_from),
            "note": ("to come" if each in upcoming else "in force")
            + (", EMERGENCY" if each.emergency else ""),
        }
        for each in (book.in_force(now), *upcoming)
    ]


def role_deadline(role: str, version: int, ends: int) -> Deadline:
    """The deadline of a role's current metadata."""
    return Deadline("role", role, str(version), ends - expiry_seconds(role), ends, actor_of(role))


def state_deadlines(state: TrustState, participants: Sequence[str] | None = None) -> list[Deadline]:
    """The roles of a trust folder, and of `participants` (default: all); the earliest first."""
    national = state.national
    found = [
        role_deadline(role, each.version, expires_at(each))
        for role, each in (
            ("root", national.root),
            ("timestamp", national.timestamp),
            ("snapshot", national.snapshot),
            ("targets", national.targets),
        )
    ]
    if state.areas is not None:
        found.append(role_deadline(AREAS_ROLE, state.areas.version, state.areas.expires))
    for code, issuer in state.issuers.items():
        if participants is not None and code not in participants:
            continue
        found.append(role_deadline(authority_role(code), issuer.authority.version, issuer.authority.expires))
        if issuer.live is not None:
            found.append(role_deadline(live_role(code), issuer.live.version, issuer.live.expires))
    return sorted(found, key=lambda each: each.ends)


def certificate_deadline(name: str, pem: str, who: str) -> Deadline:
    """The deadline of the first certificate in a PEM. Raises ConfigurationError."""
    begins, ends = validity_of(pem)
    return Deadline("certificate", name, "", begins, ends, who)


def certificate_file_deadlines(files: Mapping[str, tuple[Path, str]]) -> list[Deadline]:
    """Deadlines of certificate files, by name: (file, who). Unreadable files are left out; `check` reports them."""
    found = []
    for name, (path, who) in files.items():
        try:
            found.append(certificate_deadline(name, path.read_text(), who))
        except (HealthcodeError, OSError, ValueError):
            continue
    return found


def participant_deadlines(
    code: str, document: ProvinceFile, killed: Collection[bytes] = ()
) -> list[Deadline]:
    """The published keys and CAs of one participant. Only the newest of each purpose must be renewed.

    `killed` are the kids that its node killed: such a key replaces no other, and is not renewed.
    """
    who = f"the authority of {participant(code).english}"
    newest: dict[str, int] = {}
    for key in document.keys:
        if key.kid not in killed:
            newest[key.purpose] = max(newest.get(key.purpose, 0), key.not_after)
    found = [
        Deadline(
            "key",
            f"{code} {key.purpose}"
            if key.not_after == newest.get(key.purpose)
            else f"{code} {key.purpose} before",
            key.kid.hex(),
            key.not_before,
            key.not_after,
            who,
            replaced=key.kid in killed or key.not_after < newest.get(key.purpose, 0),
            killed=key.kid in killed,
        )
        for key in document.keys
    ]
    anchors, _ = select_tls_cas({code: document.tls_ca})  # entries that are not CAs are reported elsewhere
    last = max((validity_of(pem)[1] for pem in anchors[code]), default=0)
    for number, pem in enumerate(anchors[code], start=1):
        begins, ends = validity_of(pem)
        name = f"{code} CA" if ends == last else f"{code} CA {number}"
        found.append(Deadline("certificate", name, "", begins, ends, who, replaced=ends < last))
    return found


def actor_of(role: str) -> str:
    """Who renews a role."""
    found = participant_of_role(role)
    if found is not None:
        return f"the {'node' if found[1] else 'authority'} of {participant(found[0]).english}"
    return {
        "root": "root holders (`trust-registry propose renewal root`)",
        "targets": "operators (`trust-registry propose renewal targets`)",
    }.get(role, "the registry (`trust-registry serve` renews it)")
