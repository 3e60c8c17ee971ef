"""Answers status questions of other participants about this participant's codes. Who asked is counted, the person is not logged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from healthcode.clock import Clock
from healthcode.errors import (
    DecodeError,
    InvalidInputError,
    PreconditionError,
    Reason,
    SignatureError,
    UnavailableError,
)
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.code import decode_cose_code
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.question import QueryMode, Question, SignedQuestion, decode_question
from province_node.codes.revoke import is_own_code
from province_node.keys.keyring import Keyring
from province_node.people.holder_levels import HolderLevels
from province_node.store.protocols import AnswerStore

__all__ = ["AnswerUseCase"]

ANSWER_SECONDS = 60
LIVE_ANSWER_SECONDS = 10


class AnswerUseCase:
    """Answers questions about this participant's codes."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        keyring: Keyring,
        store: AnswerStore,
        levels: HolderLevels,
        trust: Callable[[], TrustView],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._keyring = keyring
        self._store = store
        self._levels = levels
        self._trust = trust
        self._clock = clock

    def answer(self, data: bytes) -> tuple[bytes, Question]:
        """The signed answer to a question, and the question, for counting. Blocks on the store.

        A question that comes twice is answered twice. Raises DecodeError, PreconditionError (QUESTION_EXPIRED),
        SignatureError, InvalidInputError (for another participant), UnavailableError (clock not compared yet).
        """
        now = self._clock.now()
        view = self._trust()
        signed = decode_question(data)
        question = signed.question
        if question.home != self._participant:
            raise InvalidInputError(
                f"the question is for participant {question.home}; this is {self._participant}",
                fields={"question": "for another participant"},
            )
        skew = view.policy.in_force(now).skew_seconds
        if now >= question.expires_at or question.issued_at > now + skew:
            raise PreconditionError(
                "the question is not valid at this time: ask again. If the question was new, set the clock that is wrong, the asker's or the home's",
                reason=Reason.QUESTION_EXPIRED,
            )
        _verify_asker(view, signed, self._realm)
        status, level, rule, sequence, until = self._look_up(view, question.code, now)
        lifetime = LIVE_ANSWER_SECONDS if question.mode is QueryMode.LIVE else ANSWER_SECONDS
        expires_at = now + lifetime if until is None else max(now + 1, min(now + lifetime, until))
        key = self._keyring.signing_key(KeyPurpose.ANSWER, view.issuers.get(self._participant), now)
        answer = Answer(
            home=self._participant,
            code_sha256=hashlib.sha256(question.code).digest(),
            mode=question.mode,
            level=level,
            rule=rule,
            status=status,
            sequence=sequence,
            produced_at=now,
            expires_at=expires_at,
            nonce=question.nonce,
        )
        return sign_answer(answer, key, self._realm), question

    def _look_up(
        self, view: TrustView, cose: bytes, now: int
    ) -> tuple[CodeStatus, Level | None, str | None, int, int | None]:
        """Status, level, rule, sequence, and when the code expires (None: the status does not change)."""
        # one answer for a code that we did not sign and one without a record: a caller cannot search the indices
        unknown = (CodeStatus.NOT_FOUND, None, None, 0, None)
        try:
            code = decode_cose_code(cose)
        except DecodeError:
            return unknown
        claims = code.claims
        if not is_own_code(view.issuers.get(self._participant), claims, code.sign1, self._realm):
            return unknown
        state = self._store.code_state(day_of(claims.expires_at), claims.index)
        if now >= claims.expires_at and view.is_clock_unchecked:
            raise UnavailableError(
                "the home has just started, and has not compared its clock with the registry's yet",
                reason=Reason.SERVICE_UNAVAILABLE,
                retry_after_seconds=2,
            )
        if state is None:
            # the store forgets past days, whose codes have expired
            return unknown if now < claims.expires_at else (CodeStatus.EXPIRED, None, None, 0, None)
        derived = self._levels.find([state.document])
        if derived is not None:
            level, rule, sequence = derived[0].level, derived[0].policy_version, derived[0].sequence
            if sequence != state.sequence:
                # the level moved just now, which revokes the codes that are out
                state = self._store.code_state(day_of(claims.expires_at), claims.index) or state
        elif state.level is None:
            level, rule, sequence = claims.level, claims.rule, 0
        else:
            level, rule, sequence = state.level, state.rule, state.sequence
        if now >= claims.expires_at:
            return CodeStatus.EXPIRED, level, rule, sequence, None
        status = CodeStatus.REVOKED if state.revoked else CodeStatus.ACTIVE
        return status, level, rule, sequence, claims.expires_at


def _verify_asker(view: TrustView, signed: SignedQuestion, realm: str) -> None:
    """Raises SignatureError unless the asker's published QUESTION key signed it in its window."""
    question = signed.question
    asker = view.issuers.get(question.asker)
    key = asker.keys.get(signed.sign1.kid) if asker is not None else None
    if asker is None or key is None or key.purpose is not KeyPurpose.QUESTION:
        raise SignatureError(
            f"participant {question.asker} has no QUESTION key {signed.sign1.kid.hex()} in the trust files of the home",
        )
    if asker.revocations is not None and key.kid in asker.revocations.head.killed_kids:
        raise SignatureError(f"the QUESTION key {key.kid.hex()} of participant {question.asker} was killed")
    if not key.not_before <= question.issued_at < key.not_after:
        raise SignatureError(f"the QUESTION key {key.kid.hex()} is outside its window")
    if not verify_sign1(signed.sign1, key.public, Context.QUESTION, realm):
        raise SignatureError("the signature of the question is not valid")
