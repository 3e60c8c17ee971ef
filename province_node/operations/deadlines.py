"""What ends when: this node's keys and certificates, and the roles that it decides with."""

from __future__ import annotations

from healthcode.errors import HealthcodeError
from healthcode.service.deadline import (
    Deadline,
    certificate_deadline,
    certificate_file_deadlines,
    role_deadline,
    state_deadlines,
)
from healthcode.signing.keyfile import KeyInfo
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.layout import authority_role, live_role
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import IssuerView
from province_node.keys.key_files import SIGNING_PURPOSES, list_key_infos
from province_node.keys.setup import CLIENTS
from province_node.settings import NodeSettings

__all__ = ["deadlines_of", "own_deadlines"]

_CODE_PURPOSES = (KeyPurpose.LIVE, KeyPurpose.PAPER)


def deadlines_of(settings: NodeSettings, state: TrustState | None) -> list[Deadline]:
    """All deadlines that `status` shows, the earliest first: the national roles, and this node's own."""
    national = [] if state is None else state_deadlines(state, ())
    issuer = None if state is None else state.view.issuers.get(settings.participant)
    found = [*national, *own_deadlines(settings, issuer)]
    return sorted(found, key=lambda each: (each.replaced, each.ends))


def own_deadlines(settings: NodeSettings, issuer: IssuerView | None) -> list[Deadline]:
    """The deadlines that this province is responsible for: its roles, keys and certificates. Reads files."""
    found = _certificates(settings)
    if issuer is not None:
        found += [*_roles(issuer), *_keys(settings, issuer), *_published_cas(issuer)]
    return found


def _roles(issuer: IssuerView) -> list[Deadline]:
    code = issuer.code
    found = [role_deadline(authority_role(code), issuer.province_version, issuer.province_expires)]
    if issuer.live_version is not None and issuer.live_expires is not None:
        found.append(role_deadline(live_role(code), issuer.live_version, issuer.live_expires))
    return found


def _keys(settings: NodeSettings, issuer: IssuerView) -> list[Deadline]:
    """The published keys that are not killed. The last key of a purpose needs a successor before it ends."""
    killed = frozenset() if issuer.revocations is None else issuer.revocations.head.killed_kids
    waiting = _not_published(settings, issuer)
    found = []
    for purpose in SIGNING_PURPOSES:
        keys = [key for key in issuer.keys.values() if key.purpose is purpose and key.kid not in killed]
        last = max((key.not_after for key in keys), default=0)
        made = next(
            (each for each in waiting if each.purpose is purpose and (each.not_after or 0) > last), None
        )
        who = (
            f"this node (`province-node keys rotate --purpose {purpose}`), then the authority,"
            if made is None
            else f"the authority (request.json with key {made.kid.hex()}; then `province-node publish`)"
        )
        leaves = issuer.signs_until is not None and purpose in _CODE_PURPOSES
        if not keys and not leaves:
            found.append(
                Deadline("key", str(purpose), "", 0, 0, who)
            )  # for instance, the only one was killed
        found += [
            Deadline(
                "key",
                str(purpose) if key.not_after == last else f"{purpose} before",
                key.kid.hex(),
                key.not_before,
                key.not_after,
                who,
                replaced=leaves or key.not_after < last,
            )
            for key in keys
        ]
    return found


def _not_published(settings: NodeSettings, issuer: IssuerView) -> list[KeyInfo]:
    published = {key.public for key in issuer.keys.values()}
    try:
        infos = [info for _, info in list_key_infos(settings.keys.folder)]
    except HealthcodeError:
        return []  # `check` reports the fault
    return [info for info in infos if info.public is not None and info.public not in published]


def _certificates(settings: NodeSettings) -> list[Deadline]:
    """Certificates in files: the node's, those of its commands, and the CAs that it is configured to trust."""
    who = "this node's operators, with the holder of its CA,"
    folder = settings.tls.certificate.parent
    return certificate_file_deadlines(
        {
            settings.tls.certificate.name: (settings.tls.certificate, who),
            **{f"{name}.pem": (folder / f"{name}.pem", who) for name in CLIENTS},
            "own CA": (settings.tls.ca, _new_ca()),
            "registry CA": (settings.registry.ca, "this node's operators, with the registry's new CA,"),
        }
    )


def _published_cas(issuer: IssuerView) -> list[Deadline]:
    found = []
    for pem in issuer.tls_ca:
        try:
            found.append(certificate_deadline("published CA", pem, _new_ca()))
        except HealthcodeError:
            continue
    last = max((each.ends for each in found), default=0)
    return [
        each
        if each.ends == last
        else Deadline(
            "certificate", f"{each.name} before", "", each.begins, each.ends, each.who, replaced=True
        )
        for each in found
    ]


def _new_ca() -> str:
    return "this node's operators (a new CA, `province-node request`), then the authority,"
