"""What no draft proposes, because no client could read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import PreconditionError
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from trust_registry.participants.join import receive_join
from trust_registry.proposals.drafts import draft_admission


def test_an_authority_beyond_the_last_place_of_a_chain_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full chain (256 links; here one) refuses the next authority by name, not with an exception of pydantic."""
    registry = found_registry(tmp_path / "registry")
    first = Province("31", registry.settings.realm, now=NOW)
    admit(registry, first)
    next_one = Province("31", registry.settings.realm, name="next", now=NOW)
    published = registry.repository.published()
    received = receive_join(registry.joins, next_one.join_request(NOW, follows=first), published, NOW)
    monkeypatch.setattr("trust_registry.proposals.drafts.MAX_LINKS", 1)
    with pytest.raises(PreconditionError, match="needs a new participant code"):
        draft_admission(registry.repository, registry.proposals, [received.join])
