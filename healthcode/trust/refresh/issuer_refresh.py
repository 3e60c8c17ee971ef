"""One participant's part of a refresh: its newest files that verify, else its last good ones.

A fault in one participant's files never stops another participant's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.format.layout import TrustLimits, authority_role, live_role
from healthcode.trust.refresh.download import NO_LIVE, Download, live_version_of
from healthcode.trust.verify.accepted_chain import AcceptedChains
from healthcode.trust.verify.issuer_trust import IssuerFiles, IssuerTrust, verify_issuer, verify_issuer_tls_ca
from healthcode.trust.verify.national import NationalTrust
from healthcode.trust.verify.rollback import verify_no_issuer_rollback, verify_not_ahead
from healthcode.trust.verify.trust_state import Rejected, TrustState, Witness

__all__ = ["IssuerRefresh", "Rejections"]

_T = TypeVar("_T")


class Rejections:
    """Why files were refused in one refresh, by participant (or "areas")."""

    def __init__(self) -> None:
        self._found: dict[str, list[Rejected]] = {}

    def add(self, participant: str, error: HealthcodeError) -> None:
        """Note one more refusal."""
        self._found.setdefault(participant, []).append(Rejected(participant, error.reason, error.message))

    def of(self, participant: str) -> tuple[Rejected, ...]:
        """The refusals of one participant, in the order in which they were noted."""
        return tuple(self._found.get(participant, ()))

    def cut(self, participant: str, count: int) -> None:
        """Forget all but the first `count` refusals of one participant."""
        del self._found.get(participant, [])[count:]


class IssuerRefresh:
    """Takes the newest files of one participant after the other, over a verified national part.

    Several threads may share it if each holds `download.cpu`.
    """

    def __init__(
        self,
        previous: TrustState | None,
        download: Download,
        chains: AcceptedChains,
        rejections: Rejections,
        limits: TrustLimits,
        now: int,
    ) -> None:
        self._previous = previous
        self._download = download
        self._chains = chains
        self._rejections = rejections
        self._limits = limits
        self._now = now

    def has_news(self, participant: str, national: NationalTrust) -> bool:
        """Whether snapshot names another version than the accepted one."""
        held = self._held(participant)
        named = (
            national.version_of(authority_role(participant)),
            national.version_of(live_role(participant)),
        )
        return held is None or (held.authority.version, live_version_of(held)) != named

    def take(self, participant: str, national: NationalTrust) -> tuple[IssuerTrust | None, Witness | None]:
        """(the trust to use now, the witness of its chain unless the chain is the current one).

        Raises nothing: a refusal, or a fault of ours, is noted and the last good files are used.
        """
        try:
            return self._take(participant, national)
        except Exception as error:  # noqa: BLE001  no file of one province may stop all the others
            self._rejections.add(
                participant, InternalError(f"a fault of ours: {type(error).__name__}; please report it")
            )
            held = self._held(participant)
            return held, None if held is None else self._chains.witness(participant)

    def _held(self, participant: str) -> IssuerTrust | None:
        return None if self._previous is None else self._previous.issuers.get(participant)

    def _take(self, participant: str, national: NationalTrust) -> tuple[IssuerTrust | None, Witness | None]:
        held = self._held(participant)
        try:
            link = self._chains.newest_link(participant, national)
        except HealthcodeError as error:
            if error.reason is Reason.AUTHORITY_WAITS:
                self._rejections.add(participant, error)
                return self._while_waiting(participant, national, held), self._chains.witness(participant)
            if error.reason is not Reason.PARTICIPANT_UNKNOWN:
                self._rejections.add(participant, error)
                return held, self._chains.witness(participant)
            # The operators withdrew the delegation and kept the chain. Report it once, unless it ends
            # a retirement that was announced.
            if held is not None and not self._is_retired(participant, national):
                self._rejections.add(participant, error)
            return None, None
        try:
            return self._newest(participant, link, national, held), None
        except HealthcodeError as error:
            self._rejections.add(participant, error)
            if held is None or held.link == link:
                return held, None
            # The chain has a new link, but nothing signed under it verifies: use the old files with their witness.
            return held, self._chains.witness(participant)

    def _is_retired(self, participant: str, national: NationalTrust) -> bool:
        """Whether a retirement was announced and the participant's last code has ended."""
        entry = national.participants.participants.get(participant)
        return (
            entry is not None and entry.retirement is not None and entry.retirement.codes_until <= self._now
        )

    def _while_waiting(
        self, participant: str, national: NationalTrust, held: IssuerTrust | None
    ) -> IssuerTrust | None:
        """What to use while a new authority waits: the old authority's files and its node's newest head."""
        if held is None:
            return None
        noted = len(self._rejections.of(participant))
        try:
            return self._newest(participant, held.link, national, held)
        except HealthcodeError:
            return held
        finally:
            # The new authority's files cannot verify under the old link: that is no refusal to report.
            self._rejections.cut(participant, noted)

    def _newest(
        self, participant: str, link: AuthorityLink, national: NationalTrust, held: IssuerTrust | None
    ) -> IssuerTrust:
        """The newest that verifies: both parts new, or one new part with the other part's last good files."""
        authority_version = national.version_of(authority_role(participant))
        live_version = national.version_of(live_role(participant))
        if authority_version is None:
            raise TrustError(
                f"snapshot does not name {authority_role(participant)}", reason=Reason.FILE_UNKNOWN
            )
        if held is not None and (held.link, held.authority.version, live_version_of(held)) == (
            link,
            authority_version,
            live_version,
        ):
            return held
        first: HealthcodeError | None = None
        authority = _attempt(
            lambda: self._download.authority_files(participant, authority_version, held, self._now)
        )
        live = _attempt(lambda: self._download.live_files(participant, live_version, held))
        old_authority = None if held is None else held.files.authority
        old_live = NO_LIVE if held is None else (held.files.live_metadata, held.files.head)
        # A node whose head is refused still gets its new keys, and the other way round.
        for try_authority, try_live in ((authority, live), (authority, old_live), (old_authority, live)):
            if isinstance(try_authority, HealthcodeError):
                first = first or try_authority
                continue
            if isinstance(try_live, HealthcodeError):
                first = first or try_live
                continue
            if try_authority is None:
                continue
            files = IssuerFiles(*try_authority, *try_live)
            try:
                issuer = self._verify(participant, link, files, national, held)
            except HealthcodeError as error:
                first = first or error
                continue
            if first is not None:
                self._rejections.add(participant, first)
            return issuer
        raise first or TrustError(f"participant {participant} has published nothing that verifies")

    def _verify(
        self,
        participant: str,
        link: AuthorityLink,
        files: IssuerFiles,
        national: NationalTrust,
        held: IssuerTrust | None,
    ) -> IssuerTrust:
        issuer = verify_issuer(
            participant,
            link,
            files,
            national,
            self._download.read_list,
            keep_list=self._download.lists.__setitem__,
            previous=held,
            limits=self._limits,
        )
        if held is None or files.live_metadata != held.files.live_metadata:
            verify_not_ahead(issuer, national)
        if held is not None:
            verify_no_issuer_rollback(held, issuer, self._now)
        if self._previous is not None and (held is None or issuer.authority is not held.authority):
            verify_issuer_tls_ca(self._previous.issuers, national, issuer)
        return issuer


def _attempt(get: Callable[[], _T]) -> _T | HealthcodeError:
    try:
        return get()
    except HealthcodeError as error:
        return error
