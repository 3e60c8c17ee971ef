"""The SDK's verifier. Thread-safe; it stores nothing about a person."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from healthcode.clock import Clock, SystemClock
from healthcode.errors import InvalidInputError
from healthcode.identity.document import IdentityDocument
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.place_check import PlaceCheck, check_place
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_code

__all__ = ["Verifier"]

_PIECE = 64


class Verifier:
    """Verifies with the trust of `trust`; `clock` is used if a call gives no `now`.

    verdict = Verifier(TrustStore.open("/var/lib/healthcode/trust")).verify(text, place="STATION")
    if verdict.decision is Decision.PASS: ...
    """

    def __init__(self, trust: TrustStore | TrustView, *, clock: Clock | None = None) -> None:
        self._view = trust if isinstance(trust, TrustView) else trust.view
        self._clock = clock or SystemClock()

    @property
    def view(self) -> TrustView:
        """The trust in use."""
        return self._view

    def swap(self, trust: TrustStore | TrustView) -> None:
        """Replaces the trust; verifications under way finish with the old one."""
        self._view = trust if isinstance(trust, TrustView) else trust.view

    def verify(
        self,
        text: str,
        *,
        place: str | None = None,
        area: str | None = None,
        category: str | None = None,
        document: IdentityDocument | None = None,
        item_id: str = "",
        now: int | None = None,
    ) -> Verdict:
        """The verdict on the text of one QR code.

        `place` and `category` are PlaceType and PersonCategory, or their words in any case; an unknown word counts
        as OTHER or GENERAL, and is flagged, and so is no place. `area` is the place's six digits of GB/T 2260. `document` is matched
        against the holder tag, in memory. Raises InvalidInputError for an invalid area or item id, or a `text` that
        is not a str; never because of the content of `text`.
        """
        _check_text(text)
        context = CheckContext.of(place, area, category, item_id)
        return verify_code(
            self._view, text, context, self._clock.now() if now is None else now, document=document
        )

    def verify_many(
        self,
        texts: Iterable[str],
        *,
        place: str | None = None,
        area: str | None = None,
        category: str | None = None,
        now: int | None = None,
        threads: int | None = None,
    ) -> list[Verdict]:
        """One verdict per text, in order, all at one time and with one view; item_id is the position.

        Signatures are checked on `threads` threads (default: the number of cores, at most 8). Raises
        InvalidInputError as `verify`, before anything is verified.
        """
        if isinstance(texts, str | bytes):
            raise InvalidInputError("verify_many takes several texts: use verify for one")
        texts = list(texts)
        for text in texts:
            _check_text(text)
        view = self._view
        moment = self._clock.now() if now is None else now
        base = CheckContext.of(place, area, category)
        items = [
            (
                text,
                CheckContext(
                    base.place_type, base.area_code, base.person_category, str(number), base.warnings
                ),
            )
            for number, text in enumerate(texts)
        ]
        pieces = [items[start : start + _PIECE] for start in range(0, len(items), _PIECE)]
        check = partial(_verify_piece, view, moment)
        workers = min(threads or min(8, os.cpu_count() or 1), len(pieces))
        if workers <= 1:
            return [verdict for piece in pieces for verdict in check(piece)]
        with ThreadPoolExecutor(workers) as pool:
            return [verdict for verdicts in pool.map(check, pieces) for verdict in verdicts]

    def requirement(
        self, *, place: str, area: str, category: str | None = None, now: int | None = None
    ) -> PlaceCheck:
        """Whether a place must check codes at all, asked before anybody shows one. Raises nothing for unknown words."""
        moment = self._clock.now() if now is None else now
        return check_place(self._view, place, area, category or "", moment)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidInputError(
            f"a code is the text of its QR code, a str, and this is {type(text).__name__}",
            fields={"text": "not a str"},
        )


def _verify_piece(view: TrustView, now: int, piece: Sequence[tuple[str, CheckContext]]) -> list[Verdict]:
    return [verify_code(view, text, context, now) for text, context in piece]
