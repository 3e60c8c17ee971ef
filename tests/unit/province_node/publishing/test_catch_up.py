"""An older copy of node.db put back by hand, a lost one, a clock that was ahead: nothing twice, nothing undone."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import pytest

from healthcode.errors import PreconditionError, Reason, UnavailableError
from healthcode.revocation.day import DAY_SECONDS, day_of
from healthcode.revocation.head import Head, decode_head
from healthcode.revocation.index import SERIES_LIMIT
from province_node.codes.index_source import IndexSource
from province_node.publishing.catch_up import is_behind
from province_node.publishing.next_head import NextHead
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.publishing.second_node import QUIET_SECONDS
from province_node.store.records import Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, make_publisher
from tests.world.waiting import PATIENCE_SECONDS

TODAY = day_of(NOW)
SECRET = b"i" * 32


class Run:
    """One run of a node on a database: its publisher, and a registry that shows the world what it took."""

    def __init__(self, world, path) -> None:
        self.world = world
        self.store = SqliteNodeStore(path)
        self.out_of_reach = False
        self.caught_up: list[object] = []
        self.second_nodes: list[bool] = []
        self.sent: list[Head] = []
        self.publisher: Publisher | None = None

    def make(self) -> Publisher:
        events = PublishEvents(caught_up=self.caught_up.append, second_node=self.second_nodes.append)
        return make_publisher(self.world, self.store, self._send, refresh=self._refresh, events=events)

    async def start(self) -> None:
        """As `serve` does: the first head of the run goes out."""
        self.publisher = self.publisher or self.make()
        await self.publisher.publish_once(first=True)

    async def publish(self) -> None:
        await self.publisher.publish_once()

    def draw(self, count: int = 30) -> set[int]:
        source = IndexSource(self.store.issuing, SECRET)
        return {source.take(TODAY) for _ in range(count)}

    def revoke(self, *indices: int) -> None:
        self.store.revoking.record_revocations(
            [Revocation(TODAY, index) for index in indices],
            RevocationReason.FRAUD,
            self.world.request(f"t-{sorted(indices)}"),
            NOW,
        )

    def published(self) -> set[int]:
        return set(self.world.view.issuers[HOME].revocations.lists.get(TODAY, ()))

    async def _refresh(self) -> None:
        self.world.refresh()

    async def _send(self, made: NextHead) -> None:
        realm = self.world.realm
        head = decode_head(made.head, realm=realm.realm, issuer=HOME)
        self.sent.append(head)
        if self.out_of_reach:
            raise UnavailableError("out of reach")
        for day in head.days:
            realm.set_list(HOME, day, self.store.publishing.revoked_indices(day, made.record.through))
        realm.now = max(realm.now, made.record.signed_at)
        realm.serve_live(HOME, made.metadata, made.head)
        self.world.refresh()
        assert self.world.view.warnings == ()


@pytest.fixture
def run(world, tmp_path):
    """Opens runs on databases; closes them at the end."""
    opened: list[Run] = []

    def open_run(name: str = "node-31.db") -> Run:
        opened.append(Run(world, tmp_path / name))
        return opened[-1]

    # what the simulated realm published before is this node's own
    first = open_run()
    own = world.view.issuers[HOME]
    first.store.publishing.record_attempt(own.live_version, own.live_sha256)
    yield open_run
    for each in opened:
        each.store.close()


async def test_a_copy_put_back_by_hand_gives_no_index_twice(run, tmp_path):
    """Indices drawn after the copy was taken never come again, though the copy knows nothing of them."""
    first = run()
    await first.start()
    first.store.close()
    shutil.copy(tmp_path / "node-31.db", tmp_path / "copy.db")
    second = run()
    await second.start()
    drawn = second.draw()
    third = run("copy.db")
    await third.start()
    assert len(third.caught_up) == 1
    assert not drawn & third.draw()


async def test_a_copy_put_back_by_hand_undoes_no_revocation_and_publishes_on(run, tmp_path):
    """What was published as revoked stays so, and a further revocation arrives beside it."""
    first = run()
    await first.start()
    first.store.close()
    shutil.copy(tmp_path / "node-31.db", tmp_path / "copy.db")
    second = run()
    await second.start()
    one, two, *_ = second.draw()
    second.revoke(one, two)
    await second.publish()
    third = run("copy.db")
    await third.start()
    assert {one, two} <= third.published()
    three, *_ = third.draw()
    third.revoke(three)
    await third.publish()
    assert {one, two, three} <= third.published()


async def test_a_lost_database_is_as_one_that_is_behind(run):
    """A node that starts on an empty database takes in what is published, and draws from another series."""
    first = run()
    await first.start()
    drawn = first.draw()
    first.revoke(*drawn)
    await first.publish()
    again = run("empty.db")
    await again.start()
    assert drawn <= again.published()
    assert not drawn & again.draw()


async def test_a_kill_between_sending_and_recording_is_not_behind(run, world, tmp_path):
    """An attempt is durable before it is sent, so a lost acknowledgement costs no series."""
    first = run()
    await first.start()
    world.clock.at += 600
    first.store.publishing.record_publication = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        await first.publish()
    first.store.close()
    again = run()
    assert not is_behind(again.store.publishing, world.view.issuers[HOME])
    await again.start()
    assert again.caught_up == []


async def test_nothing_is_issued_before_it_was_looked(run):
    """What issuing goes by waits until the first publication of the run was tried, reachable registry or not."""
    first = run()
    publisher = first.make()
    seen = []
    waiting = threading.Thread(target=lambda: seen.append(publisher.acknowledged()))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    publisher.allow_issuing()
    waiting.join(PATIENCE_SECONDS)
    assert seen == [first.store.publishing.publication()]


async def test_a_clock_ahead_leaves_no_day_uncovered(run, world):
    """A node whose clock runs five days ahead publishes a head that still covers today."""
    first = run()
    await first.start()
    world.clock.at += 5 * DAY_SECONDS
    first.out_of_reach = True
    with pytest.raises(UnavailableError):
        await first.publish()
    assert first.sent[-1].covered_from <= TODAY < first.sent[-1].covered_to


async def two_nodes(run, tmp_path) -> tuple[Run, Run]:
    """The rightful node, and one on a copy of its database, that both run."""
    first = run()
    await first.start()
    first.store.close()
    shutil.copy(tmp_path / "node-31.db", tmp_path / "copy.db")
    rightful, wrong = run(), run("copy.db")
    await rightful.start()
    await wrong.start()
    rightful.publisher.allow_issuing()
    wrong.publisher.allow_issuing()
    return rightful, wrong


async def test_two_live_nodes_of_one_province_use_up_no_series_and_lose_no_revocation(run, world, tmp_path):
    """However long both publish, a handful of series is opened; what either revokes is published; neither issues."""
    rightful, wrong = await two_nodes(run, tmp_path)
    for index in range(40):
        world.clock.at += 1
        at = (rightful, wrong)[index % 2]
        at.revoke(index)
        await rightful.publish()
        await wrong.publish()
        assert index in rightful.published()
    assert set(range(40)) <= rightful.published()
    assert max(head.first_series for head in rightful.sent + wrong.sent) <= 4
    assert (rightful.second_nodes, wrong.second_nodes) == ([True], [True])
    for each in (rightful, wrong):
        with pytest.raises(PreconditionError, match="stop it") as caught:
            each.publisher.acknowledged()
        assert caught.value.reason is Reason.NOT_COVERED
        # and no other process of the same node, which asks the store
        with pytest.raises(PreconditionError, match="stop it"):
            each.draw()


async def test_two_live_nodes_with_nothing_to_say_leave_each_other_alone(run, world, tmp_path):
    """Without news a node does not answer the other's heads with its own, over and over."""
    rightful, wrong = await two_nodes(run, tmp_path)
    for _ in range(290):
        world.clock.at += 1
        await rightful.publish()
        await wrong.publish()
    assert len(rightful.sent) + len(wrong.sent) < 12


async def test_once_the_wrong_node_is_stopped_the_rightful_one_issues_from_a_series_of_its_own(
    run, world, tmp_path
):
    """After a quiet time a new series is published, and what both drew before never comes again."""
    rightful, wrong = await two_nodes(run, tmp_path)
    drawn = rightful.draw() | wrong.draw()
    for index in range(10):
        world.clock.at += 1
        (rightful, wrong)[index % 2].revoke(index)
        await rightful.publish()
        await wrong.publish()
    await rightful.publish()
    world.clock.at += QUIET_SECONDS + 301
    await rightful.publish()
    await rightful.publish()
    assert rightful.second_nodes == [True, False]
    assert rightful.publisher.acknowledged() is not None
    issued = rightful.draw()
    assert not drawn & issued
    assert {index >> 26 for index in issued} == {rightful.sent[-1].first_series}


async def test_when_every_series_was_opened_revocations_go_out_all_the_same(run, world):
    """An empty database without a series left issues nothing, and publishes what is revoked and killed."""
    first = run()
    await first.start()
    issuer = world.view.issuers[HOME]
    worn = replace(issuer.revocations.head, first_series=SERIES_LIMIT - 1)
    state = replace(issuer.revocations, head=worn)
    world.view = replace(world.view, issuers={**world.view.issuers, HOME: replace(issuer, revocations=state)})
    again = run("empty.db")
    await again.start()
    again.revoke(7)
    await again.publish()
    assert 7 in again.published()
    assert again.sent[-1].first_series == SERIES_LIMIT
    with pytest.raises(PreconditionError) as caught:
        again.draw()
    assert caught.value.reason is Reason.INDEX_EXHAUSTED
    again.store.killing.kill_key(b"k" * 8, RevocationReason.FRAUD, world.request("k"), None, NOW)
    await again.publish()
    assert again.sent[-1].killed_kids == {b"k" * 8}
