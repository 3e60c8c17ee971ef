"""Asks other participants about their codes: verifies offline, asks the home, accepts only the home's signature."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import (
    DecodeError,
    HealthcodeError,
    OverloadedError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import LogBudget, get_logger
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.status import ASKABLE, check_answer, unavailable_verdict, verdict_from_answer
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_code, verify_decoded
from healthcode.wire.answer import Answer
from healthcode.wire.code import DecodedCode, decode_code
from healthcode.wire.question import (
    ID_BYTES,
    MAX_LIFETIME_SECONDS,
    NONCE_BYTES,
    QueryMode,
    QueryPurpose,
    Question,
    sign_question,
)
from province_node.keys.keyring import Keyring

__all__ = ["AskUseCase", "Carry", "StatusResult"]

DEFAULT_RETRY_SECONDS = 2.0

Carry = Callable[[str, bytes, QueryMode, float], Awaitable[bytes]]
"""(home, question, mode, timeout in seconds) → answer. The gateway does this."""


@dataclass(frozen=True, slots=True)
class StatusResult:
    """A verdict, and the home's answer if there is one."""

    verdict: Verdict
    mode: QueryMode
    answer: Answer | None = None
    signed_answer: bytes = b""
    retry_after_seconds: float | None = None


class AskUseCase:
    """Asks on behalf of one participant. The participant's own codes are answered by `answer_here`."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        keyring: Keyring,
        trust: Callable[[], TrustView],
        carry: Carry,
        answer_here: Callable[[bytes], bytes],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._keyring = keyring
        self._trust = trust
        self._carry = carry
        self._answer_here = answer_here
        self._clock = clock
        self._log = get_logger("ask")
        self._budget = LogBudget()

    async def ask(
        self, text: str, mode: QueryMode, purpose: QueryPurpose, context: CheckContext, timeout_seconds: float
    ) -> StatusResult:
        """What the home says of a code now. Raises only TrustError (no policy in force).

        Without a valid answer the outcome is TEMPORARILY_UNAVAILABLE: no level, and never REFUSE.
        """
        now = self._clock.now()
        view = self._trust()
        try:
            decoded = decode_code(text, view.realm)
        except DecodeError:
            return StatusResult(verify_code(view, text, context, now), mode)
        offline = verify_decoded(view, decoded, context, now)
        # no answer can make a code valid that is bad offline
        if offline.outcome not in ASKABLE:
            return StatusResult(offline, mode)
        try:
            question, data = self._question(view, decoded, mode, purpose, now)
            home = question.home
            if home == self._participant:
                signed = await asyncio.to_thread(self._answer_here, data)
            else:
                signed = await self._carry(home, data, mode, timeout_seconds)
            answered_at = self._clock.now()
            answer = check_answer(view, signed, question, answered_at)
        except HealthcodeError as error:
            return self._unavailable(view, offline, decoded, context, mode, now, error)
        verdict = verdict_from_answer(view, offline, decoded, answer, context, answered_at)
        return StatusResult(verdict, mode, answer, signed)

    def _question(
        self, view: TrustView, decoded: DecodedCode, mode: QueryMode, purpose: QueryPurpose, now: int
    ) -> tuple[Question, bytes]:
        key = self._keyring.signing_key(KeyPurpose.QUESTION, view.issuers.get(self._participant), now)
        question = Question(
            asker=self._participant,
            home=decoded.claims.issuer,
            mode=mode,
            code=decoded.cose,
            purpose=purpose,
            question_id=secrets.token_bytes(ID_BYTES),
            issued_at=now,
            expires_at=now + MAX_LIFETIME_SECONDS,
            nonce=secrets.token_bytes(NONCE_BYTES) if mode is QueryMode.LIVE else None,
        )
        return question, sign_question(question, key, self._realm)

    def _unavailable(
        self,
        view: TrustView,
        offline: Verdict,
        decoded: DecodedCode,
        context: CheckContext,
        mode: QueryMode,
        now: int,
        error: HealthcodeError,
    ) -> StatusResult:
        detail = _detail(error)
        home = decoded.claims.issuer
        if self._budget.take(f"{home} {detail}") is not None:
            self._log.warning(
                "home_not_asked", home=home, detail=detail, reason=str(error.reason), why=error.message
            )
        verdict = unavailable_verdict(view, offline, decoded, context, now, detail)
        retry = error.retry_after_seconds or DEFAULT_RETRY_SECONDS
        return StatusResult(verdict, mode, retry_after_seconds=retry)


def _detail(error: HealthcodeError) -> str:
    """A stable dotted word for why there is no answer of the home."""
    if isinstance(error, OverloadedError):
        return "status.overloaded"
    if isinstance(error, UnavailableError):
        late = error.reason is Reason.DEADLINE_EXCEEDED
        return "status.no_answer_in_time" if late else "status.home_unavailable"
    if isinstance(error, PreconditionError) and error.reason is Reason.KEY_UNAVAILABLE:
        return "status.no_question_key"
    return "status.answer_refused"
