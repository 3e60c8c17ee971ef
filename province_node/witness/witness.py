"""Follows the checkpoints of other provinces, and asks each to prove that its audit log has only grown."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from healthcode.audit.alarm import RaisedAlarm
from healthcode.audit.consistency import ConsistencyProof, GrowthQuestion, decode_consistency
from healthcode.clock import Clock, rfc3339
from healthcode.errors import HealthcodeError, SignatureError
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import LogBudget, get_logger
from healthcode.trust.view import TrustView
from healthcode.wire.cose import Context, verify_sign1
from province_node.witness.judge import (
    Shown,
    Witnessed,
    alarms_of,
    look,
    proved,
    question_about,
    refuted,
    unproved,
)
from province_node.witness.witness_file import WitnessFile

__all__ = ["Provinces", "Witness", "WitnessObserver", "verify_proof_of"]

_TIMEOUT_SECONDS = 5.0
_MOST_WAITING = 1000


class Provinces(Protocol):
    """Asks other provinces."""

    async def prove(self, home: str, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        """The home's proof, unverified. Raises HealthcodeError if there is none."""
        ...


class WitnessObserver(Protocol):
    """Counts and shows."""

    def count_audit_proof(self, participant: str, result: str) -> None:
        """A question ended. `result` is PROVED, AUDIT_FORK, or the reason why there was no proof."""
        ...

    def set_audit(self, alarms: Iterable[RaisedAlarm], unproved: Mapping[str, int]) -> None:
        """The alarms about provinces that take part, and since when each has proved nothing."""
        ...


class Witness:
    """Watches for one node. `look` takes each new trust view; `run` does the rest. For one event loop."""

    def __init__(
        self,
        participant: str,
        file: WitnessFile,
        *,
        provinces: Provinces,
        clock: Clock,
        observer: WitnessObserver,
        ask_seconds: float,
    ) -> None:
        self._participant = participant
        self._file = file
        self._provinces = provinces
        self._clock = clock
        self._observer = observer
        self._ask_seconds = ask_seconds
        self._view: TrustView | None = None
        self._shown: dict[str, Shown] = {}
        self._waiting: deque[tuple[str, Shown]] = deque(maxlen=_MOST_WAITING)
        self._known: dict[str, Witnessed] = {}
        self._news = asyncio.Event()
        self._log = get_logger("audit")
        self._budget = LogBudget(burst=1, period_seconds=3600)

    def look(self, view: TrustView) -> None:
        """Notes which checkpoints a verified view shows. Call it in the event loop; it does not block."""
        self._view = view
        for code, issuer in view.issuers.items():
            if code == self._participant or issuer.live_version is None:
                continue
            shown = Shown(issuer.live_version, issuer.checkpoint)
            if self._shown.get(code) != shown:
                self._shown[code] = shown
                self._waiting.append((code, shown))
                self._news.set()

    def alarms(self) -> tuple[RaisedAlarm, ...]:
        """The alarms about provinces that take part, for the report to the registry."""
        now = self._clock.now()
        return tuple(
            alarm for code, known in sorted(self._known.items()) for alarm in alarms_of(code, known, now)
        )

    async def run(self) -> None:
        """Watches until cancelled. Raises what the disk raises; then it is run again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._pause()
        while True:
            self._news.clear()
            await self.record()
            if loop.time() >= due:
                await self.ask()
                due = loop.time() + self._pause()
            try:
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def record(self) -> None:
        """Compares the checkpoints shown since the last time with the kept ones, durably."""
        while self._waiting:
            code, shown = self._waiting[0]
            # a province publishes each second, and almost never with a new checkpoint: then the disk is left alone
            if not self._is_settled(code, shown):
                await self._look_at(code, shown)
            self._waiting.popleft()
        self._show()

    async def ask(self) -> None:
        """Asks each province once that has something to prove, one after the other and in no fixed order."""
        # the order differs from node to node, so that a province is not asked by all others at the same moment
        due = [code for code in self._shown if self._question(code) is not None]
        random.shuffle(due)
        for code in due:
            await self._ask(code)
        await self._read()

    def _is_settled(self, code: str, shown: Shown) -> bool:
        known = self._known.get(code)
        return known is not None and look(known, shown, self._clock.now()) == known

    async def _look_at(self, code: str, shown: Shown) -> None:
        await self._change(code, lambda known: look(known, shown, self._clock.now()))

    def _pause(self) -> float:
        return self._ask_seconds * random.uniform(0.5, 1.5)  # noqa: S311  not a secret

    def _question(self, code: str) -> GrowthQuestion | None:
        return question_about(self._known.get(code), self._shown[code])

    async def _ask(self, code: str) -> None:
        shown, question, view = self._shown[code], self._question(code), self._view
        if question is None or view is None or shown.checkpoint is None:
            return
        kept = self._known[code].kept
        try:
            data = await self._provinces.prove(code, question, _TIMEOUT_SECONDS)
            # a key that the province exchanged meanwhile is in the newest view
            proof = verify_proof_of(self._view or view, code, question, data)
        except HealthcodeError as error:
            reason = str(error.reason)
            left_out = self._budget.take(f"{code} {reason}")
            if left_out is not None:
                self._log.warning("audit_unproved", participant=code, reason=reason, why=error.message)
            self._observer.count_audit_proof(code, reason)
            await self._change(code, lambda known: known and unproved(known, reason, self._clock.now()))
            return
        is_proved = proof.proves(kept, shown.checkpoint)
        self._observer.count_audit_proof(code, "PROVED" if is_proved else "AUDIT_FORK")

        def judge(known: Witnessed | None) -> Witnessed | None:
            if known is None or known.kept != kept:
                return known  # a person changed it meanwhile
            return proved(known, shown) if is_proved else refuted(known, shown, self._clock.now())

        await self._change(code, judge)

    async def _change(self, code: str, change: Callable[[Witnessed | None], Witnessed | None]) -> None:
        before, after = await asyncio.to_thread(self._file.change, code, change)
        if after is None:
            return
        self._known[code] = after
        for event, was, finding in (
            ("audit_fork", before and before.fork, after.fork),
            ("audit_restarted", before and before.restart, after.restart),
        ):
            if finding is not None and finding != was:
                self._log.error(
                    event,
                    participant=code,
                    why=finding.why,
                    kept=after.kept.to_json(),
                    seen=finding.seen.to_json(),
                    at=rfc3339(finding.at),
                )

    async def _read(self) -> None:
        """Takes what commands changed, and shows it."""
        self._known = await asyncio.to_thread(self._file.read)
        self._show()

    def _show(self) -> None:
        """Shows the alarms about provinces that take part."""
        members = self._view.issuers if self._view is not None else {}
        self._known = {code: each for code, each in self._known.items() if code in members}
        unproved = {
            code: each.unproved_since for code, each in self._known.items() if each.unproved_since is not None
        }
        self._observer.set_audit(self.alarms(), unproved)


def verify_proof_of(view: TrustView, home: str, question: GrowthQuestion, data: bytes) -> ConsistencyProof:
    """The home's own answer to this question. Whether it proves anything is not looked at here.

    Raises DecodeError, or SignatureError if it is another's, about something else, or not signed by the home: anyone who
    carried it may have changed it, so it is no word of the home.
    """
    signed = decode_consistency(data)
    proof, issuer = signed.proof, view.issuers.get(home)
    if proof.home != home or proof.question != question:
        raise SignatureError(f"the proof is not what participant {home} was asked for")
    key = None if issuer is None else issuer.keys.get(signed.sign1.kid)
    if (
        issuer is None
        or key is None
        or key not in issuer.keys_for(KeyPurpose.ANSWER, proof.produced_at)
        or not verify_sign1(signed.sign1, key.public, Context.AUDIT, view.realm)
    ):
        raise SignatureError(f"the proof is not signed with an ANSWER key of participant {home}")
    return proof
