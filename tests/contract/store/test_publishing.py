"""What every store promises of publishing and of catching up."""

from __future__ import annotations

from healthcode.errors import Reason
from province_node.store.publication import ListVersion, Publication, PublishFailure
from tests.contract.store.stores import DAY, NOW, revoke


def test_a_head_holds_what_was_revoked_when_it_was_begun(store):
    """Indices are read up to a sequence, so that a head and its `through` say the same."""
    revoke(store, 5, name="a")
    through = store.publishing.last_revocation()
    revoke(store, 4, name="b", day=DAY + 1)
    revoke(store, 6, name="c")
    assert store.publishing.revoked_indices(DAY, through) == [5]
    assert store.publishing.changed_days(through) == {DAY, DAY + 1}
    assert [index for _, index in store.publishing.revoked_between(DAY, through, through + 9)] == [6]
    assert store.publishing.count_revoked(DAY, DAY + 1) == 3


def test_a_publication_is_recorded_with_its_lists(store, open_again):
    """Another process sees the head and the versions of lists that deltas still need."""
    assert store.publishing.publication() is None
    for version in (1, 2, 3):
        lists = (ListVersion(DAY, version, through=version, base_version=max(version - 1, 1)),)
        store.publishing.record_publication(
            Publication(version, NOW, DAY, DAY + 9, version, b"head", lists, root="sha256:x")
        )
    seen = open_again().publishing
    assert seen.publication() == Publication(3, NOW, DAY, DAY + 9, 3, b"head", root="sha256:x")
    assert seen.list_versions(DAY) == [(2, 2), (3, 3)]


def test_what_was_attempted_is_known(store, open_again):
    """A version that was sent, or about to be, is this store's; another one's digest is not."""
    store.publishing.record_attempt(4, b"mine")
    store.publishing.record_attempt(4, b"mine too")
    seen = open_again().publishing
    assert seen.attempted_version() == 4
    assert [seen.has_made(4, digest) for digest in (b"mine", b"mine too", b"theirs")] == [True, True, False]


def test_a_failure_stays_until_something_is_acknowledged(store):
    """`since` is that of the first failure after the last success."""
    store.publishing.record_failure(Reason.SERVICE_UNAVAILABLE, "no answer", NOW)
    store.publishing.record_failure(Reason.SIGNATURE_THRESHOLD, "no key", NOW + 5)
    assert store.publishing.publish_failure() == PublishFailure(Reason.SIGNATURE_THRESHOLD, "no key", NOW)
    store.publishing.record_publication(Publication(1, NOW, DAY, DAY, 0, b""))
    assert store.publishing.publish_failure() is None
    store.publishing.record_failure(Reason.SERVICE_UNAVAILABLE, "no answer", NOW + 9)
    store.publishing.forget_failure()
    assert store.publishing.publish_failure() is None


def test_what_is_published_is_taken_over_in_one_step(store):
    """Revocations and killed keys are ours from then on, the next series is open, and no head is acknowledged."""
    revoke(store, 1)
    store.issuing.reserve_block(DAY, 10)
    store.publishing.record_publication(Publication(1, NOW, DAY, DAY, 0, b""))
    assert store.publishing.first_series(DAY) is None
    assert store.publishing.highest_series(DAY) == (0, DAY)
    new = store.publishing.take_over({DAY: [1, 2, 3]}, [b"k" * 8], 4, DAY + 2, NOW, seen_version=7)
    assert new == 2
    assert store.publishing.killed_kids() == {b"k" * 8}
    assert store.publishing.publication() is None
    assert [store.publishing.first_series(DAY + days) for days in (0, 2, 3)] == [4, 4, 0]
    assert store.issuing.reserve_block(DAY, 10).series == 4
    assert store.publishing.has_made(7, b"theirs") is None
    assert store.publishing.has_made(8, b"theirs") is False
