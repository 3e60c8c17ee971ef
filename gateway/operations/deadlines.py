"""The deadlines that the gateway's operators must know: certificates, and roles in the trust files."""

from __future__ import annotations

import contextlib

from gateway.settings import GatewaySettings
from healthcode.errors import HealthcodeError
from healthcode.service.deadline import (
    Deadline,
    certificate_deadline,
    certificate_file_deadlines,
    state_deadlines,
)
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import TrustView

__all__ = ["deadlines_of", "own_deadlines"]

_NEW_CA = "this gateway's operators, then the registry's (`trust-registry propose service gateway`),"


def deadlines_of(settings: GatewaySettings, state: TrustState | None) -> list[Deadline]:
    """All deadlines that `status` shows, earliest first."""
    national = [] if state is None else state_deadlines(state, ())
    found = [*national, *own_deadlines(settings, None if state is None else state.view)]
    return sorted(found, key=lambda each: each.ends)


def own_deadlines(settings: GatewaySettings, view: TrustView | None) -> list[Deadline]:
    """The certificates for which the gateway's operators are responsible. Reads files."""
    files = {
        settings.tls.certificate.name: (
            settings.tls.certificate,
            "this gateway's operators, with the holder of its CA,",
        ),
        "own CA": (settings.tls.ca, _NEW_CA),
    }
    if settings.registry is not None:
        files["registry CA"] = (
            settings.registry.ca,
            "this gateway's operators, with the registry's new CA,",
        )
    found = certificate_file_deadlines(files)
    published = None if view is None else view.services.get("gateway")
    if published is not None:
        with contextlib.suppress(HealthcodeError):  # the registry's `check` reports a wrong one
            found.append(certificate_deadline("published CA", published.ca_pem, _NEW_CA))
    return found
