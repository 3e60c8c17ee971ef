"""An order for a code, and the rules by which it is refused before anything is signed or recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.identity.document import IdentityDocument, check_birth_date
from healthcode.revocation.day import day_of
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.wire.claims import Presentation
from province_node.keys.keyring import Keyring
from province_node.people.level import check_level
from province_node.people.pseudonym import PseudonymKey
from province_node.settings import IssueSettings
from province_node.store.protocols import IssueStore
from province_node.store.publication import Publication
from province_node.store.records import LevelStatement

__all__ = ["CODE_PURPOSE", "IssueOrder", "Order", "OrderRules", "Published", "stated"]

CODE_PURPOSE = {Presentation.LIVE: KeyPurpose.LIVE, Presentation.PAPER: KeyPurpose.PAPER}


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """What a back end asks for. `validity_seconds` None: the node's default for the presentation.

    `statement` None: the level that is derived. Where levels are derived, only its level counts.
    """

    document: IdentityDocument
    name: str
    statement: LevelStatement | None
    presentation: Presentation
    validity_seconds: int | None = None
    shown_by_relative: bool = False


Order = IssueOrder | HealthcodeError
"""An order, or the error that its decoding gave."""


def stated(order: IssueOrder) -> LevelStatement:
    """The level that the order states, where levels are not derived. Raises InvalidInputError if it states none."""
    if order.statement is None:
        wanted = "GREEN, YELLOW, RED, PENDING or NO_ABNORMALITY: the policy in force is of format 1, and derives none"
        raise InvalidInputError(f"level: wanted {wanted}", fields={"level": wanted})
    return order.statement


@dataclass(frozen=True, slots=True)
class Published:
    """The published state: the `trust` in use, and the last `head` that the registry acknowledged."""

    trust: Callable[[], TrustView]
    head: Callable[[], Publication | None]


class OrderRules:
    """What one participant may issue now."""

    def __init__(
        self,
        participant: str,
        keyring: Keyring,
        pseudonyms: PseudonymKey,
        store: IssueStore,
        published: Published,
        settings: IssueSettings,
    ) -> None:
        self._participant = participant
        self._keyring = keyring
        self._pseudonyms = pseudonyms
        self._store = store
        self._trust = published.trust
        self._publication = published.head
        self._settings = settings

    def check(self, order: Order, now: int, replaces: bytes | None = None) -> IssueOrder:
        """The order. Raises the error that refuses it.

        With `replaces`, a kid, a holder without an unexpired code of that key is refused (CODE_UNKNOWN).
        """
        if isinstance(order, HealthcodeError):
            raise order
        self._check_not_retired(now)
        check_birth_date(order.document, now)
        policy = self._trust().policy.in_force(now)
        if policy.levels is None:
            check_level(stated(order), issuer=self._participant, now=now)
        validity = self._validity(order)
        cap = policy.max_validity_seconds[order.presentation]
        if not 1 <= validity <= cap:
            raise InvalidInputError(
                f"validity: a {order.presentation} code lives 1 to {cap} seconds",
                fields={"validity": f"1 to {cap} seconds"},
            )
        publication = self._publication()
        # a code must not outlive the revocation lists that other nodes have
        if (
            publication is None
            or day_of(self.expires_at(order, now, _stated_end(order))) > publication.covered_to
        ):
            raise PreconditionError(
                "the revocation head that the registry holds does not cover this code's expiry yet: "
                "wait until this node has published (see `province-node status`)",
                reason=Reason.NOT_COVERED,
            )
        self.signing_key(order, now)
        if replaces is not None:
            holder = self._pseudonyms.pseudonym(order.document)
            if not self._store.has_code_under(replaces, holder, now):
                raise InvalidInputError(
                    f"the holder has no code of key {replaces.hex()} that is out: nothing to replace",
                    reason=Reason.CODE_UNKNOWN,
                )
        return order

    def expires_at(self, order: IssueOrder, issued_at: int, level_ends: int | None = None) -> int:
        """The earliest of: the validity, the end of the level, the end of a retiring province's codes."""
        ends = [issued_at + self._validity(order)]
        if level_ends is not None:
            ends.append(level_ends)
        retirement = self._trust().retirements.get(self._participant)
        if retirement is not None:
            ends.append(retirement.codes_until)
        return min(ends)

    def signing_key(self, order: IssueOrder, now: int) -> PrivateKey:
        """The key that signs the order's code. Raises PreconditionError (ISSUER_RETIRED, KEY_UNAVAILABLE)."""
        self._check_not_retired(now)
        issuer = self._trust().issuers.get(self._participant)
        return self._keyring.signing_key(CODE_PURPOSE[order.presentation], issuer, now)

    def _check_not_retired(self, now: int) -> None:
        retirement = self._trust().retirements.get(self._participant)
        if retirement is not None and now >= retirement.signs_until:
            raise PreconditionError(
                f"this province leaves: it signs no code from {rfc3339(retirement.signs_until)} on. What is out "
                f"is good until {rfc3339(retirement.codes_until)}; new codes come from the province that takes "
                "its place",
                reason=Reason.ISSUER_RETIRED,
            )

    def _validity(self, order: IssueOrder) -> int:
        if order.validity_seconds is not None:
            return order.validity_seconds
        if order.presentation is Presentation.PAPER:
            return self._settings.paper_validity_seconds
        return self._settings.live_validity_seconds


def _stated_end(order: IssueOrder) -> int | None:
    return None if order.statement is None else order.statement.until
