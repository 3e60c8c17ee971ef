"""Revokes codes: by their texts, by their holders, or by how they were issued.

The result is returned when it is durable. The publisher is told then, and sends the revocations of a second together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from healthcode.clock import Clock
from healthcode.errors import DecodeError, InvalidInputError, Reason
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView, TrustView
from healthcode.wire.claims import CodeClaims
from healthcode.wire.code import decode_code
from healthcode.wire.cose import Context, Sign1, verify_sign1
from province_node.store.protocols import RevokeStore
from province_node.store.records import IssuedUnder, Request, Revocation, RevocationReason, Revoked

__all__ = ["MAX_HOLDERS", "MAX_REVOCATIONS", "RevokeUseCase", "Selection", "is_own_code"]

MAX_REVOCATIONS = 10_000
MAX_HOLDERS = 1000
Selection = Sequence[bytes] | IssuedUnder
"""Holders by pseudonym, or how codes were issued: the ways to take back a wrong batch."""
_NAMED_AT_MOST = 20


def is_own_code(issuer: IssuerView | None, claims: CodeClaims, sign1: Sign1, realm: str) -> bool:
    """Whether a code is signed by a code key that this participant published, whatever its age."""
    if issuer is None or claims.issuer != issuer.code:
        return False
    key = issuer.keys.get(sign1.kid)
    if key is None or key.purpose not in {KeyPurpose.LIVE, KeyPurpose.PAPER}:
        return False
    return verify_sign1(sign1, key.public, Context.CODE, realm)


class RevokeUseCase:
    """Revokes codes of one participant."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        store: RevokeStore,
        trust: Callable[[], TrustView],
        nudge: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._store = store
        self._trust = trust
        self._nudge = nudge
        self._clock = clock

    def revoke(self, texts: Sequence[str], reason: RevocationReason, request: Request) -> Revoked:
        """Revokes the codes with these texts, all or none. Blocks.

        Our own signature on a code makes it ours to revoke. Raises InvalidInputError (CODE_UNKNOWN), whose
        `fields` name the texts that are no codes of this issuer.
        """
        now = self._clock.now()
        earlier = self._store.find_revoked(request, now)
        if earlier is not None:
            return earlier
        revoked = self._store.record_revocations(self._locate_all(texts), reason, request, now)
        self._nudge()
        return revoked

    def count(self, texts: Sequence[str]) -> Revoked:
        """What `revoke` would answer. Raises as it does. Blocks."""
        return self._store.count_codes(self._locate_all(texts))

    def revoke_matching(self, selection: Selection, reason: RevocationReason, request: Request) -> Revoked:
        """Revokes every unexpired code of some holders, or that was issued in some way, by our own records. Blocks."""
        now = self._clock.now()
        earlier = self._store.find_revoked(request, now)
        if earlier is not None:
            return earlier
        if isinstance(selection, IssuedUnder):
            revoked = self._store.revoke_issued_under(selection, reason, request, now)
        else:
            found = self._store.codes_of_holders(selection, now)
            revoked = self._store.record_revocations(found, reason, request, now)
        self._nudge()
        return revoked

    def count_matching(self, selection: Selection) -> Revoked:
        """What `revoke_matching` would answer. Blocks."""
        now = self._clock.now()
        if isinstance(selection, IssuedUnder):
            return self._store.count_issued_under(selection, now)
        return self._store.count_codes(self._store.codes_of_holders(selection, now))

    def _locate_all(self, texts: Sequence[str]) -> list[Revocation]:
        """The codes with these texts, each once, in order of day and index."""
        if not 1 <= len(texts) <= MAX_REVOCATIONS:
            raise InvalidInputError(
                f"a request revokes 1 to {MAX_REVOCATIONS} codes, this one names {len(texts)}",
                reason=Reason.BATCH_TOO_LARGE if texts else Reason.INVALID_REQUEST,
                fields={"codes": f"1 to {MAX_REVOCATIONS}"},
            )
        found: set[Revocation] = set()
        problems: dict[str, str] = {}
        issuer = self._trust().issuers.get(self._participant)
        for position, text in enumerate(texts):
            try:
                found.add(self._locate(text, issuer))
            except InvalidInputError as error:
                problems[f"codes[{position}]"] = error.message
        if problems:
            raise InvalidInputError(
                f"{len(problems)} of {len(texts)} {'text is no code' if len(problems) == 1 else 'texts are no codes'} of "
                f"participant {self._participant}; "
                "nothing was revoked",
                reason=Reason.CODE_UNKNOWN,
                fields=dict(list(problems.items())[:_NAMED_AT_MOST]),
            )
        return sorted(found, key=lambda code: (code.day, code.index))

    def _locate(self, text: str, issuer: IssuerView | None) -> Revocation:
        try:
            decoded = decode_code(text, self._realm)
        except DecodeError as error:
            raise InvalidInputError(f"not a code ({error.detail})") from error
        claims = decoded.claims
        if claims.issuer != self._participant:
            raise InvalidInputError(f"a code of participant {claims.issuer}: only its own node revokes it")
        if not is_own_code(issuer, claims, decoded.sign1, self._realm):
            raise InvalidInputError("not signed by a key of this participant")
        return Revocation(day=day_of(claims.expires_at), index=claims.index)
