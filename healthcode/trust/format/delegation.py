"""The fixed form of delegations: exactly which paths and roles each role may list.

python-tuf alone accepts wider ones, so registry and clients both check the form.
"""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import DelegatedRole, Delegations, Targets

from healthcode.errors import Reason, TrustError
from healthcode.identity.participant import may_join
from healthcode.trust.format.authority_chain import verify_threshold_of
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.format.layout import (
    AREAS_PATTERN,
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    authority_role,
    head_path,
    live_pattern,
    live_role,
    participant_of_role,
    province_path,
    province_patterns,
)
from healthcode.trust.format.metadata import signing_keys
from healthcode.trust.format.tuf_keys import tuf_key

__all__ = [
    "delegated_participants",
    "delegator_of",
    "verify_areas_form",
    "verify_delegation",
    "verify_live_form",
    "verify_province_form",
    "verify_targets_form",
]


def _forbidden(message: str, who: str) -> TrustError:
    """An error for operators that overreach, or for another role: these are different alarms."""
    overreach = who == "targets"
    return TrustError(message, reason=Reason.TARGETS_OVERREACH if overreach else Reason.PATH_FORBIDDEN)


def _roles(targets: Targets, who: str) -> Mapping[str, DelegatedRole]:
    if targets.delegations is None:
        return {}
    if targets.delegations.roles is None:
        raise _forbidden(f"{who} delegates in a form that healthcode does not use (succinct roles)", who)
    roles: Mapping[str, DelegatedRole] = targets.delegations.roles
    return roles


def _verify_paths(targets: Targets, allowed: frozenset[str], who: str) -> None:
    foreign = sorted(set(targets.targets) - allowed)
    if foreign:
        raise _forbidden(f"{who} lists {foreign[0]}, which is not its own", who)
    missing = sorted(allowed - set(targets.targets))
    if missing:
        raise TrustError(f"{who} does not list {missing[0]}", reason=Reason.FILE_UNKNOWN)


def _verify_patterns(role: DelegatedRole, patterns: tuple[str, ...], who: str) -> None:
    if role.paths is None or sorted(role.paths) != sorted(patterns) or not role.terminating:
        raise _forbidden(
            f"{who} delegates other paths to {role.name} than {' and '.join(patterns)}, or lets others answer for them",
            who,
        )


def delegated_participants(targets: Targets) -> frozenset[str]:
    """The participants that targets delegates to."""
    found = (participant_of_role(name) for name in _roles(targets, "targets"))
    return frozenset(each[0] for each in found if each is not None)


def verify_targets_form(targets: Targets, realm: str) -> None:
    """Check the paths and role names of targets. Raises TrustError(TARGETS_OVERREACH).

    The keys of a province's delegation are for verify_delegation: they concern that province only.
    """
    _verify_paths(targets, frozenset({PARTICIPANTS_PATH, POLICY_PATH}), "targets")
    for name, role in _roles(targets, "targets").items():
        if name == AREAS_ROLE:
            _verify_patterns(role, (AREAS_PATTERN,), "targets")
            continue
        found = participant_of_role(name)
        if found is None or found[1]:
            raise _forbidden(
                f"targets delegates to a role {name!r} that a trust tree does not have", "targets"
            )
        if not may_join(realm, found[0]):
            raise _forbidden(
                f"targets delegates to participant {found[0]}, which realm {realm} cannot have", "targets"
            )


def verify_delegation(targets: Targets, participant: str, link: AuthorityLink) -> None:
    """Check that targets delegates to a participant exactly as the newest link of its chain says.

    Raises TrustError: PARTICIPANT_UNKNOWN if it does not delegate, TARGETS_OVERREACH for other
    patterns, AUTHORITY_EXISTS for other keys or another threshold.
    """
    name = authority_role(participant)
    role = _roles(targets, "targets").get(name)
    if role is None:
        raise TrustError(f"targets does not delegate to {name}", reason=Reason.PARTICIPANT_UNKNOWN)
    _verify_patterns(role, province_patterns(participant), "targets")
    keys, threshold = signing_keys(targets, name)
    if keys != frozenset(link.keys) or len(role.keyids) != len(link.keys) or threshold != link.threshold:
        raise TrustError(
            f"targets delegates {name} to other keys than the newest link of its authority chain (link {link.seq}); "
            "only the province itself may change them",
            reason=Reason.AUTHORITY_EXISTS,
        )


def delegator_of(participant: str, link: AuthorityLink) -> Targets:
    """The delegation that a link demands, to check a publication against the chain itself.

    Raises SignatureError(SIGNATURE_THRESHOLD) for a link with a duplicate key.
    """
    verify_threshold_of(participant, link)
    keys = [tuf_key(key) for key in link.keys]
    role = DelegatedRole(
        authority_role(participant),
        [key.keyid for key in keys],
        link.threshold,
        terminating=True,
        paths=list(province_patterns(participant)),
    )
    return Targets(delegations=Delegations({key.keyid: key for key in keys}, {role.name: role}))


def verify_areas_form(areas: Targets) -> None:
    """Check that areas lists its one file and delegates to no role. Raises TrustError(PATH_FORBIDDEN)."""
    _verify_paths(areas, frozenset({RISK_PATH}), AREAS_ROLE)
    _verify_no_roles(areas, AREAS_ROLE)


def verify_province_form(province: Targets, participant: str) -> None:
    """Check that an authority lists its one file and delegates to its node. Raises TrustError(PATH_FORBIDDEN)."""
    who = authority_role(participant)
    _verify_paths(province, frozenset({province_path(participant)}), who)
    roles = _roles(province, who)
    if list(roles) != [live_role(participant)]:
        raise _forbidden(f"{who} must delegate to {live_role(participant)} and to no other role", who)
    _verify_patterns(roles[live_role(participant)], (live_pattern(participant),), who)
    signing_keys(province, live_role(participant))


def verify_live_form(live: Targets, participant: str) -> None:
    """Check that a node lists its head and delegates to no role. Raises TrustError(PATH_FORBIDDEN)."""
    who = live_role(participant)
    _verify_paths(live, frozenset({head_path(participant)}), who)
    _verify_no_roles(live, who)


def _verify_no_roles(targets: Targets, who: str) -> None:
    if _roles(targets, who):
        raise _forbidden(f"{who} delegates, but it must not", who)
