"""What has expired, at the repository and on disk (TUF 1.0, sections 5.3.10, 5.4.4, 5.5.6, 5.6.5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.conformance.suite import Client, Later, at
from tests.simulator.tuf_repository import TufRepository


def test_an_expired_root_is_kept_and_stops_the_rest(repository: TufRepository, client: Client) -> None:
    """5.3.10: freeze is looked for after the newest root was taken."""
    assert client.refresh() == 0
    repository.root.expires = repository.now - timedelta(days=1)
    repository.publish_all()
    assert client.refresh() == 1
    assert client.versions() == at(root=2)


@pytest.mark.parametrize(
    ("role", "kept"),
    [("timestamp", at()), ("snapshot", at(timestamp=2)), ("targets", at(timestamp=2, snapshot=2))],
)
def test_what_has_expired_is_not_taken(
    repository: TufRepository, client: Client, role: str, kept: dict[str, int]
) -> None:
    """Each role by itself."""
    assert client.refresh() == 0
    getattr(repository, role).expires = repository.now - timedelta(days=5)
    repository.publish_all(root=False)
    assert client.refresh() == 1
    assert client.versions() == kept


def test_targets_that_have_expired_since_nobody_signed_them_anew(
    repository: TufRepository, client: Client
) -> None:
    """That the next version would have expired does not harm the one in force."""
    assert client.refresh() == 0
    repository.targets.expires = repository.now - timedelta(days=5)
    repository.publish_snapshot()
    assert client.refresh() == 0
    assert client.versions() == at(timestamp=2, snapshot=2)


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_what_has_expired_here_leads_to_what_has_not(
    repository: TufRepository, client: Client, role: str
) -> None:
    """Each role by itself: on day 18, version 1 having expired on day 7; and without a newer one, it does not hold."""
    signed = getattr(repository, role)
    signed.expires = repository.now + timedelta(days=7)
    repository.publish_all()
    assert client.refresh() == 0
    client.clock = Later(repository, days=18)
    assert client.refresh() == 1
    signed.expires = repository.now + timedelta(days=21)
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions() == at(root=3, timestamp=3, snapshot=3, targets=3)


def test_a_delegated_role_that_has_expired_lends_nothing(repository: TufRepository, client: Client) -> None:
    """The download fails, and nothing of it is trusted."""
    repository.delegate("targets", "late", ["late/*"]).expires = repository.now - timedelta(days=1)
    repository.add_target("late", "late/file", b"content")
    repository.publish_all(root=False)
    assert client.refresh() == 0
    assert client.download("late/file") == 1
    assert client.downloaded() == []
    assert client.versions() == at(timestamp=2, snapshot=2, targets=2)


def test_a_delegated_role_that_expires_on_disk(repository: TufRepository, client: Client) -> None:
    """Nothing comes by it until there is a newer one."""
    late = repository.delegate("targets", "late", ["late/*"])
    late.expires = repository.now + timedelta(days=7)
    repository.add_target("late", "late/first", b"first")
    repository.add_target("late", "late/second", b"second")
    repository.publish_all(root=False)
    assert client.download("late/first") == 0
    client.clock = Later(repository, days=18)
    assert client.download("late/second") == 1
    assert client.downloaded() == [b"first"]
    late.expires = repository.now + timedelta(days=21)
    repository.publish_all(root=False)
    assert client.download("late/second") == 0
    assert client.downloaded() == [b"first", b"second"]
