"""The officers as the node's folder says, for commands: who they are, what refuses their acts, and when the file ends."""

from __future__ import annotations

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, PermissionDeniedError
from healthcode.trust.store import TrustStore
from healthcode.trust.view import IssuerView
from province_node.officers.roster import Roster, open_roster
from province_node.settings import NodeSettings

__all__ = ["describe_own_officers", "officers_warnings", "own_roster", "roster_under"]

_WARNING_SECONDS = 30 * 86_400


def own_roster(settings: NodeSettings) -> Roster:
    """The roster of this node, read, by the trust files in its folder. Changes nothing."""
    try:
        issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
    except HealthcodeError:
        issuer = None
    return roster_under(settings, issuer)


def roster_under(settings: NodeSettings, issuer: IssuerView | None) -> Roster:
    """As `own_roster`, by the published files of this province."""
    published = None if issuer is None else issuer.officers
    roster = open_roster(
        settings.officers,
        realm=settings.realm,
        participant=settings.participant,
        published=lambda: published,
    )
    roster.reload()
    return roster


def describe_own_officers(settings: NodeSettings, issuer: IssuerView | None, now: int) -> str:
    """The officers file in force, in one line. Raises PermissionDeniedError while officers' acts are refused."""
    roster = roster_under(settings, issuer)
    if not roster.is_published:
        return "none published: this province has no officers"
    file = roster.current(now)
    return f"version {file.version}, {len(file.officers)} officers, expires {rfc3339(file.expires)}"


def officers_warnings(settings: NodeSettings, issuer: IssuerView | None, now: int) -> list[str]:
    """What refuses officers' acts now, or will within 30 days."""
    roster = roster_under(settings, issuer)
    if not roster.is_published:
        return []
    try:
        file = roster.current(now)
    except PermissionDeniedError as error:
        return [f"officers' acts are refused: {error.reason}: {error.message}"]
    found = []
    if file.expires - now < _WARNING_SECONDS:
        found.append(
            f"officers file version {file.version} expires {rfc3339(file.expires)}: have the authority sign the next one, "
            "`province-node authority officers sign`"
        )
    ending = [each for each in file.officers if each.until - now < _WARNING_SECONDS]
    found += [
        f"the appointment of officer {each.name} "
        + (f"ended {rfc3339(each.until)}" if each.until <= now else f"ends {rfc3339(each.until)}")
        for each in ending
    ]
    return found
