"""The registry's writer: many publications in one snapshot, against one snapshot each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Figure, benchmark, ratio
from tests.simulator.registry import Province, admit, found_registry
from trust_registry.participants.submission import Publisher, Submission

ROUNDS = 5
PARTICIPANTS = (
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
)


@benchmark("publish_together_vs_alone")
def together() -> Iterator[Figure]:
    """Heads of all provinces, durable: in one snapshot, and in one each."""
    with tempfile.TemporaryDirectory() as folder:
        registry = found_registry(Path(folder) / "registry")
        provinces = [Province(str(number), registry.settings.realm) for number in PARTICIPANTS]
        admit(registry, *provinces)
        publisher = Publisher(registry.repository)
        version = 0

        def prepared() -> list[Submission]:
            nonlocal version
            version += 1
            signed = ((each.code, *each.live_publication(version)) for each in provinces)
            return [Submission(code, metadata, head, {}) for code, metadata, head in signed]

        def publish(groups: Callable[[list[Submission]], list[list[Submission]]]) -> None:
            for group in groups(prepared()):
                for result in publisher.publish_batch(group):
                    if isinstance(result, Exception):
                        raise result

        value = ratio(
            lambda: publish(lambda all_of_them: [all_of_them]),
            lambda: publish(lambda all_of_them: [[each] for each in all_of_them]),
            rounds=ROUNDS,
        )
    what = f"a head of each of {len(provinces)} provinces, durable: in one snapshot ÷ in one each"
    yield Figure("publish_together_vs_alone", what, value, "×", None, ROUNDS)
