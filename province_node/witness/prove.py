"""Proves to other provinces that this province's audit log has only grown. The ANSWER key signs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from healthcode.audit.consistency import ConsistencyProof, GrowthQuestion, sign_consistency
from healthcode.clock import Clock
from healthcode.errors import NotFoundError, Reason
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from province_node.keys.keyring import Keyring

__all__ = ["GrowingLog", "ProveUseCase"]


class GrowingLog(Protocol):
    """The audit log of this node, as far as other provinces may ask about it."""

    def consistency(self, log: bytes, first: int, second: int) -> Sequence[bytes]:
        """PROOF(first, D_second) of RFC 9162 from the log as it is now. Reads the store; blocks.

        Raises NotFoundError for another log, or a size that it has not reached.
        """
        ...


class ProveUseCase:
    """Answers questions of other provinces about the growth of this province's log."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        keyring: Keyring,
        log: GrowingLog,
        trust: Callable[[], TrustView],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._keyring = keyring
        self._log = log
        self._trust = trust
        self._clock = clock

    def prove(self, question: GrowthQuestion) -> bytes:
        """The signed proof. Blocks.

        Raises InvalidInputError, NotFoundError (AUDIT_LOG_UNKNOWN), PreconditionError (no ANSWER key).
        """
        question.check()
        try:
            path = self._log.consistency(question.log, question.first, question.second)
        except NotFoundError as error:
            raise NotFoundError(error.message, reason=Reason.AUDIT_LOG_UNKNOWN) from error
        now = self._clock.now()
        key = self._keyring.signing_key(KeyPurpose.ANSWER, self._trust().issuers.get(self._participant), now)
        return sign_consistency(
            ConsistencyProof(self._participant, question, tuple(path), now), key, self._realm
        )
