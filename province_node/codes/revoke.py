"""Revoking codes: our own signature on the code is what makes it ours to revoke.

A request is all or nothing: when one text is no code of this issuer, none is
revoked, and the error names each bad one by its place. Revoking twice is no
error. Acknowledged when durable (`NodeStore.record_revocations`); the publisher
is nudged then, and takes the revocations of a second together.

Wrong batches are taken back by what they have in common: their holders, or the rule,
level reason or back end they were issued under and when. Those go by our own records.
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
from province_node.store.records import IssuedUnder, Request, Revocation, RevocationReason, RevokeStore

__all__ = ["MAX_HOLDERS", "MAX_REVOCATIONS", "RevokeUseCase", "Selection", "is_own_code"]

MAX_REVOCATIONS = 10_000
MAX_HOLDERS = 1000
Selection = Sequence[bytes] | IssuedUnder
"""Holders by pseudonym, or how codes were issued."""
_NAMED_AT_MOST = 20


def is_own_code(issuer: IssuerView | None, claims: CodeClaims, sign1: Sign1, realm: str) -> bool:
    """Whether a code bears the signature of a code key this participant published, whatever its age."""
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

    def revoke(
        self,
        texts: Sequence[str],
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
    ) -> bytes:
        """Revokes the codes with these texts; `encode(newly, already)` makes the answer. Blocks.

        Raises InvalidInputError(CODE_UNKNOWN) whose `fields` name the texts that are
        no codes of this issuer; nothing is revoked then.
        """
        now = self._clock.now()
        earlier = self._store.find_response(request, now)
        if earlier is not None:
            return earlier
        response = self._store.record_revocations(self._locate_all(texts), reason, request, encode, now)
        self._nudge()
        return response

    def count(self, texts: Sequence[str]) -> tuple[int, int]:
        """(how many of these codes `revoke` would revoke, how many are revoked). Raises as it. Blocks."""
        return self._store.count_codes(self._locate_all(texts))

    def revoke_matching(
        self,
        selection: Selection,
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
    ) -> bytes:
        """Revokes every code that is out of some holders, or that was issued in some way. Blocks."""
        now = self._clock.now()
        earlier = self._store.find_response(request, now)
        if earlier is not None:
            return earlier
        if isinstance(selection, IssuedUnder):
            response = self._store.revoke_issued_under(selection, reason, request, encode, now)
        else:
            found = self._store.codes_of_holders(selection, now)
            response = self._store.record_revocations(found, reason, request, encode, now)
        self._nudge()
        return response

    def count_matching(self, selection: Selection) -> tuple[int, int]:
        """(how many codes `revoke_matching` would revoke, how many are revoked). Blocks."""
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
        return sorted(found, key=lambda item: (item.day, item.index))

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
