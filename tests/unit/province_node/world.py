"""Participant 31 of a simulated realm as its node sees it: keys in files, a store, a clock set by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from healthcode.revocation.day import day_of
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from province_node.codes.code_maker import IssuedCode
from province_node.codes.issue import Issued, IssueUseCase
from province_node.codes.order import Order, Published
from province_node.keys.keyring import Keyring
from province_node.people.holder_levels import HolderLevels
from province_node.people.level_clock import LevelClock
from province_node.people.migration import Migration
from province_node.people.rules_in_force import RulesInForce
from province_node.publishing.head_sender import HeadSender, Send, TrustInUse
from province_node.publishing.next_head import COVER_MARGIN_DAYS, HeadMaker
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.settings import IssueSettings, PublishSettings
from province_node.store.publication import Publication
from province_node.store.records import Request
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import SimulatedRealm
from tests.world.clock import ManualClock
from tests.world.people import order

HOME = "31"
PASSPHRASE = b"a passphrase for tests"
INTERVAL_SECONDS = 0.2


@dataclass
class World:
    """What use cases are wired with; `refresh` replaces `view`."""

    folder: Path
    realm: SimulatedRealm
    keyring: Keyring
    store: SqliteNodeStore
    clock: ManualClock
    view: TrustView
    nudges: list[int] = field(default_factory=list)
    issued: int = 0

    def trust(self) -> TrustView:
        return self.view

    def refresh(self) -> None:
        """Publishes the realm as it is now, and refreshes the view from it."""
        self.realm.publish()
        self.view = self.realm.client(self.folder / "trust").refresh(self.clock.at).view

    def cover(self, days: int = 15 + COVER_MARGIN_DAYS) -> None:
        """Records an acknowledged head that covers so many days from today."""
        today = day_of(self.clock.at)
        self.store.publishing.record_publication(Publication(1, self.clock.at, today, today + days, 0, b""))

    def issuing(self, participant: str = HOME) -> IssueUseCase:
        return IssueUseCase(
            participant=participant,
            realm=self.realm.realm,
            keyring=self.keyring,
            store=self.store.issuing,
            published=Published(self.trust, self.store.publishing.publication),
            levels=self.levels(participant),
            clock=self.clock,
            settings=IssueSettings(tag_threads=2),
        )

    def levels(self, participant: str = HOME) -> HolderLevels:
        """The levels of its holders, with a clock that is always right."""
        store = self.store
        return HolderLevels(
            participant,
            store=store.levels,
            rules=RulesInForce(self.trust),
            clock=LevelClock(self.clock, store.levels, lambda: False),
            migration=Migration(store.levels, store.evidence, store.sources),
            nudge=lambda: self.nudges.append(1),
        )

    def request(self, name: str = "r-1", digest: bytes = b"d") -> Request:
        return Request("spiffe://t/issuer/31/x", name, "method", digest, self.clock.at + 86_400)

    def issue_one(self, **changes: object) -> IssuedCode:
        """One code by the use case. Raises the refusal."""
        self.issued += 1
        (result,) = self.issue([order(**changes)], f"one-{self.issued}").results
        if isinstance(result, Exception):
            raise result
        return result

    def issue(self, orders: Sequence[Order], name: str = "many", **options: Any) -> Issued:
        """Some codes through the use case, under the request id `name`."""
        use_case = self.issuing()
        try:
            return use_case.issue(orders, self.request(name), **options)
        finally:
            use_case.close()


def make_publisher(
    world: World,
    store: SqliteNodeStore,
    send: Send,
    *,
    refresh: Callable[[], Awaitable[object]],
    events: PublishEvents,
    root: str = "",
    keys: Sequence[PrivateKey] | None = None,
) -> Publisher:
    """A publisher of the world's participant; `keys` are its live keys, the world's by default."""
    trust = TrustInUse(world.trust, refresh)
    live_keys = [world.keyring.head_key()] if keys is None else keys
    maker = HeadMaker(HOME, world.realm.realm, store=store.publishing, keys=lambda _: live_keys)
    return Publisher(
        HOME,
        sender=HeadSender(
            maker,
            participant=HOME,
            root=root,
            store=store.publishing,
            trust=trust,
            send=send,
            clock=world.clock,
        ),
        store=store.publishing,
        trust=trust,
        clock=world.clock,
        settings=PublishSettings(interval_seconds=INTERVAL_SECONDS),
        events=events,
    )


def write_keys(folder: Path, realm: SimulatedRealm, code: str = HOME) -> None:
    """The simulated participant's online keys as files of its node."""
    folder.mkdir()
    province = realm.provinces[code]
    for purpose, key in {**province.keys, KeyPurpose.HEAD: province.live_key}.items():
        create_key_file(
            folder / f"{purpose.lower()}.key",
            key,
            PASSPHRASE,
            purpose=purpose,
            realm=realm.realm,
            participant=code,
            created=realm.now,
            not_before=realm.now - 86_400,
            not_after=realm.now + 6 * 86_400,
            cost="development",
        )
    create_key_file(
        folder / "index.key",
        b"i" * 32,
        PASSPHRASE,
        purpose=KeyPurpose.INDEX,
        realm=realm.realm,
        participant=code,
        created=realm.now,
        cost="development",
    )
