"""Withdraws evidence for the source that sent it: by its records, or by when the node received it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from healthcode.errors import InvalidInputError
from province_node.people.evidence_checks import MAX_RECORD
from province_node.people.level_clock import LevelClock
from province_node.people.pseudonym import PseudonymKey
from province_node.people.submission import SourceGate
from province_node.store.people_protocols import EvidenceStore
from province_node.store.people_records import ReceivedBetween, Withdrawn
from province_node.store.records import Request

__all__ = ["MAX_RECORDS", "EvidenceSelection", "WithdrawUseCase"]

MAX_RECORDS = 1000
EvidenceSelection = Sequence[str] | ReceivedBetween
"""The source's own numbers of records, or a window of receipt."""


class WithdrawUseCase:
    """Withdraws evidence. Blocks; the levels follow in the second step."""

    def __init__(
        self,
        *,
        gate: SourceGate,
        store: EvidenceStore,
        pseudonyms: PseudonymKey,
        clock: LevelClock,
        wake: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._store = store
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._wake = wake

    def withdraw(
        self, name: str, public_key: str, selection: EvidenceSelection, request: Request
    ) -> Withdrawn:
        """Gives each record of the selection a withdrawn revision. The same request id gives the same counts."""
        self._gate.admit(name, public_key)
        now = self._clock.now()
        earlier = self._store.find_withdrawn(request, now)
        if earlier is not None:
            return earlier
        if isinstance(selection, ReceivedBetween):
            withdrawn = self._store.withdraw_received(name, _checked(selection), request, now)
        else:
            withdrawn = self._store.withdraw_records(name, self._references(name, selection), request, now)
        self._wake()
        return withdrawn

    def count(self, name: str, public_key: str, selection: EvidenceSelection) -> Withdrawn:
        """What `withdraw` would answer."""
        self._gate.admit(name, public_key)
        if isinstance(selection, ReceivedBetween):
            return self._store.count_received(name, _checked(selection))
        return self._store.count_records(name, self._references(name, selection))

    def _references(self, name: str, records: Sequence[str]) -> list[str]:
        if not 1 <= len(records) <= MAX_RECORDS:
            raise InvalidInputError(
                f"a request withdraws 1 to {MAX_RECORDS} records, this one names {len(records)}",
                fields={"records": f"1 to {MAX_RECORDS}"},
            )
        for position, record in enumerate(records):
            if not 1 <= len(record) <= MAX_RECORD:
                field = f"records[{position}]"
                raise InvalidInputError(
                    f"{field}: 1 to {MAX_RECORD} characters", fields={field: "too long, or empty"}
                )
        return [self._pseudonyms.record_reference(name, record) for record in dict.fromkeys(records)]


def _checked(selection: ReceivedBetween) -> ReceivedBetween:
    if selection.received_until <= selection.received_from:
        raise InvalidInputError(
            "the window ends before it begins", fields={"received_until": "later than received_from"}
        )
    return selection
