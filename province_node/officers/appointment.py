"""Changes of the officers: the next officers file, and what it changes, in words for those who sign it."""

from __future__ import annotations

from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.identity.role import Role
from healthcode.trust.format.json_files import AuthorityLink
from province_node.officers.officer_card import OfficerCard
from province_node.officers.officers_file import Officer, OfficersFile, check_officers

__all__ = ["appoint", "describe_officers", "new_officers_file", "next_officers_file", "remove"]


def new_officers_file(realm: str, participant: str, link: AuthorityLink, *, expires: int) -> OfficersFile:
    """Version 1, without an officer and without a signature."""
    bare = link.model_copy(update={"possession": (), "handover": ()})
    return OfficersFile(
        realm=realm, participant=participant, version=1, expires=expires, link=bare, officers=()
    )


def next_officers_file(before: OfficersFile, link: AuthorityLink, *, expires: int) -> OfficersFile:
    """The version after `before`, with the same officers and without a signature."""
    bare = link.model_copy(update={"possession": (), "handover": ()})
    changes = {"version": before.version + 1, "expires": expires, "link": bare, "signatures": ()}
    return before.model_copy(update=changes)


def appoint(
    file: OfficersFile, card: OfficerCard, *, roles: frozenset[Role], unit: str, until: int, now: int
) -> OfficersFile:
    """The file with the officer of this card, who takes the place of an officer of the same name.

    Raises InvalidInputError for an appointment that has ended, DecodeError as check_officers.
    """
    if until <= now:
        raise InvalidInputError(f"the appointment of {card.name} would end {rfc3339(until)}, which is past")
    officer = Officer(
        name=card.name,
        spki_sha256=card.spki_sha256,
        sign_key=card.sign_key,
        roles=tuple(sorted(roles)),
        unit=unit,
        until=until,
    )
    others = [each for each in file.officers if each.name != card.name]
    officers = tuple(sorted((*others, officer), key=lambda each: each.name))
    check_officers(officers)
    return file.model_copy(update={"officers": officers, "signatures": ()})


def remove(file: OfficersFile, name: str) -> OfficersFile:
    """The file without this officer. Raises InvalidInputError if there is none of this name."""
    if file.find(name) is None:
        raise InvalidInputError(
            f"no officer is named {name}: `province-node authority officers show` lists them"
        )
    left = tuple(each for each in file.officers if each.name != name)
    return file.model_copy(update={"officers": left, "signatures": ()})


def describe_officers(before: OfficersFile | None, after: OfficersFile) -> list[str]:
    """One sentence, then a line for each person who comes (+), goes (-) or changes (~)."""
    old = {} if before is None else {each.name: each for each in before.officers}
    new = {each.name: each for each in after.officers}
    come = [each for name, each in new.items() if name not in old]
    go = [each for name, each in old.items() if name not in new]
    change = [(old[name], each) for name, each in new.items() if name in old and old[name] != each]
    compared = "no earlier version here" if before is None else f"compared with version {before.version}"
    sentence = (
        f"officers file version {after.version} ({compared}): {len(come)} come, {len(go)} go, {len(change)} change, "
        f"{len(new) - len(come) - len(change)} stay; it expires {rfc3339(after.expires)}"
    )
    return [
        sentence,
        *(f"+ {each.name}: {', '.join(_facts(each).values())}" for each in come),
        *(f"- {each.name}: {', '.join(each.roles)}, {each.unit}" for each in go),
        *(f"~ {one.name}: {_difference(one, other)}" for one, other in change),
    ]


def _difference(one: Officer, other: Officer) -> str:
    old, new = _facts(one), _facts(other)
    return "; ".join(f"{what} {old[what]}  becomes  {new[what]}" for what in old if old[what] != new[what])


def _facts(officer: Officer) -> dict[str, str]:
    return {
        "roles": " ".join(sorted(officer.roles)),
        "unit": officer.unit,
        "until": f"until {rfc3339(officer.until)}",
        "certificate key": f"certificate key sha256:{officer.spki_sha256.hex()}",
        "sign key": f"sign key {officer.sign_key.hex()}",
    }
