"""What `revoke` says of what it recorded: the head that has it, or that none has, and why."""

from __future__ import annotations

import pytest

from healthcode.errors import Reason
from healthcode.revocation.day import day_of
from province_node.cli import node_records
from province_node.cli.node_records import publishing_warnings, wait_for_publication
from province_node.settings import NodeSettings
from province_node.store.publication import Publication
from province_node.store.records import Request, Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW


class _Settings:
    """Of the settings, what is read here."""

    def __init__(self, database) -> None:
        self.database = database
        self.publish = NodeSettings.model_fields["publish"].get_default(call_default_factory=True)


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setattr(node_records, "_PUBLISHED_SECONDS", 0.2)
    store = SqliteNodeStore(tmp_path / "node.db")
    store.revoking.record_revocations(
        [Revocation(day_of(NOW), 3)],
        RevocationReason.FRAUD,
        Request("caller", "r-1", "RevokeCodes", b"", NOW + 86_400),
        NOW,
    )
    yield _Settings(tmp_path / "node.db"), store
    store.close()


def test_what_is_published_names_its_head(node):
    """The acknowledged head holds it: it is refused elsewhere within seconds."""
    settings, store = node
    store.publishing.record_publication(Publication(8, NOW, 1, 2, store.publishing.last_revocation(), b""))
    assert wait_for_publication(settings).startswith("head 8: ")
    assert list(publishing_warnings(settings, NOW)) == []


def test_what_is_not_published_says_so_and_why(node):
    """In an outage, for a HEAD key that is not published, and where nobody knows why."""
    settings, store = node
    assert wait_for_publication(settings).startswith("recorded, NOT published yet: ")
    store.publishing.record_failure(Reason.SERVICE_UNAVAILABLE, "no answer", NOW)
    assert "Until it answers, other nodes still accept these codes" in wait_for_publication(settings)
    store.publishing.record_failure(Reason.SIGNATURE_THRESHOLD, "no HEAD key", NOW)
    assert "SIGNATURE_THRESHOLD: no HEAD key" in wait_for_publication(settings)
    (said,) = publishing_warnings(settings, NOW)
    assert "1 revocations are recorded here" in said
