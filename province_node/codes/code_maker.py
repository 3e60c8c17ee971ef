"""Makes the text of a code from its order and its facts: when it is issued, and again when its request is repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from healthcode.errors import HealthcodeError, PreconditionError, Reason
from healthcode.identity.name import mask_name
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.view import TrustView
from healthcode.wire.claims import CodeClaims
from healthcode.wire.code import sign_code
from province_node.codes.order import CODE_PURPOSE, IssueOrder
from province_node.keys.keyring import Keyring
from province_node.store.facts import hash_text
from province_node.store.records import CodeFacts

__all__ = ["CodeMaker", "IssuedCode", "not_repeatable"]


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code whose facts are recorded."""

    text: str
    index: int
    kid: bytes
    issued_at: int
    expires_at: int

    def __repr__(self) -> str:
        """Without the text, since a repr may end in a log."""
        return f"IssuedCode(index={self.index})"

    @classmethod
    def of(cls, text: str, facts: CodeFacts) -> IssuedCode:
        return cls(text, facts.index, facts.kid, facts.issued_at, facts.expires_at)


class CodeMaker:
    """Signs codes of one participant."""

    def __init__(
        self, participant: str, realm: str, keyring: Keyring, trust: Callable[[], TrustView]
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._keyring = keyring
        self._trust = trust

    def sign(self, order: IssueOrder, facts: CodeFacts, key: PrivateKey) -> str:
        """The text of the code. The same order, facts and key give the same text: Ed25519 is deterministic."""
        claims = CodeClaims(
            issuer=self._participant,
            issued_at=facts.issued_at,
            expires_at=facts.expires_at,
            not_before=None,
            version=1,
            level=facts.level,
            rule=facts.rule,
            index=facts.index,
            presentation=order.presentation,
            shown_by_relative=order.shown_by_relative,
            tag=facts.tag.tag,
            salt=facts.tag.salt,
            name=mask_name(order.name) if order.name else None,
        )
        return sign_code(claims, key, self._realm)

    def sign_again(self, order: IssueOrder, facts: CodeFacts, killed: frozenset[bytes]) -> IssuedCode:
        """The code that was issued with these facts, also after its key's window.

        Raises PreconditionError (CODE_NOT_REPEATABLE) if the key is missing or `killed`, or if the text would differ.
        """
        key = self._find_key(order, facts.kid)
        if key is None or facts.kid in killed or facts.kid in self._published_as_killed():
            raise not_repeatable()
        try:
            text = self.sign(order, facts, key)
        except HealthcodeError as error:
            raise not_repeatable() from error
        # an upgrade may write the same claims otherwise, for example the masked name
        if hash_text(text) != facts.text_hash:
            raise not_repeatable()
        return IssuedCode.of(text, facts)

    def _find_key(self, order: IssueOrder, kid: bytes) -> PrivateKey | None:
        signers = self._keyring.signers(CODE_PURPOSE[order.presentation])
        return next((key for info, key in signers if info.kid == kid), None)

    def _published_as_killed(self) -> frozenset[bytes]:
        issuer = self._trust().issuers.get(self._participant)
        if issuer is None or issuer.revocations is None:
            return frozenset()
        return issuer.revocations.head.killed_kids


def not_repeatable() -> PreconditionError:
    """Refuses an item whose code was issued, and whose text cannot be made again."""
    return PreconditionError(
        "it was issued, and its text cannot be given again: ask with a new id",
        reason=Reason.CODE_NOT_REPEATABLE,
    )
