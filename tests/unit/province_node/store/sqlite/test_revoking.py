"""Revoking and killing on SQLite: in pieces, each durable with how far it came, and no scan in anybody's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from healthcode.errors import InternalError, InvalidInputError, Reason
from healthcode.storage.sqlite import Database
from province_node.store.publication import Publication
from province_node.store.records import IssuedUnder, Killed, Revocation, RevocationReason, Revoked
from province_node.store.sqlite import revoking
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.contract.store.stores import DAY, KID, NOW, issue, request, revoke

CODES = 10
SELECTION = IssuedUnder(NOW, NOW + 1, rule="R1")
FRAUD = RevocationReason.FRAUD


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], SqliteNodeStore]]:
    """Opens one more store on the same file, as another process would."""
    opened: list[SqliteNodeStore] = []

    def open_one() -> SqliteNodeStore:
        opened.append(SqliteNodeStore(tmp_path / "node.db"))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def store(open_store: Callable[[], SqliteNodeStore], monkeypatch: pytest.MonkeyPatch) -> SqliteNodeStore:
    """Ten codes are out, the second is revoked, and the pieces are of three."""
    monkeypatch.setattr(revoking, "_ROWS", 3)
    store = open_store()
    issue(store, *range(CODES))
    revoke(store, 1)
    return store


def revoke_all(store: SqliteNodeStore, name: str = "all", digest: bytes = b"d", now: int = NOW) -> Revoked:
    return store.revoking.revoke_issued_under(SELECTION, FRAUD, request(name, digest), now)


def revoked_now(store: SqliteNodeStore) -> int:
    return store.publishing.count_revoked(DAY, DAY)


def at_pauses(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    monkeypatch.setattr("time.sleep", lambda _: act())


def test_others_write_between_the_pieces(store, open_store, monkeypatch):
    """At each pause another process writes and sees what is revoked so far; the answer counts each code once."""
    other, seen = open_store(), []

    def write() -> None:
        other.publishing.record_publication(Publication(1, NOW, DAY, DAY + 9, 0, b""))
        seen.append(revoked_now(other))

    at_pauses(monkeypatch, write)
    assert revoke_all(store) == Revoked(CODES - 1, 1)
    assert seen == [3, 6, 9]
    assert revoked_now(store) == CODES
    assert revoke_all(other) == Revoked(CODES - 1, 1, repeated=True)


@pytest.mark.parametrize("pause", [1, 2, 3])
def test_a_cut_request_is_finished_by_its_id(store, open_store, monkeypatch, pause):
    """Cut at any pause, it has no answer yet, and no other content; its repeat says what both together did."""
    pauses = iter(range(1, 100))

    def kill() -> None:
        if next(pauses) == pause:
            raise KeyboardInterrupt

    at_pauses(monkeypatch, kill)
    with pytest.raises(KeyboardInterrupt):
        revoke_all(store)
    again = open_store()
    assert revoked_now(again) == 3 * pause
    assert again.revoking.find_revoked(request("all"), NOW) is None
    with pytest.raises(InvalidInputError) as refused:
        revoke_all(again, digest=b"other")
    assert refused.value.reason is Reason.REQUEST_ID_REUSED
    # as of when the request began: the codes expire at NOW + 600
    assert revoke_all(again, now=NOW + 900) == Revoked(CODES - 1, 1)
    assert again.revoking.find_revoked(request("all"), NOW) == Revoked(CODES - 1, 1, repeated=True)
    assert revoked_now(again) == CODES


def test_a_store_that_is_closed_ends_the_request_at_its_next_piece(store, open_store, monkeypatch):
    """As when the node stops: an error of ours, not a library's, and the same id finishes it after the start."""
    at_pauses(monkeypatch, store.close)
    with pytest.raises(InternalError):
        revoke_all(store)
    again = open_store()
    assert revoked_now(again) == 3
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert revoke_all(again) == Revoked(CODES - 1, 1)


def test_a_piece_is_found_without_reading_the_earlier_ones(store):
    """SQLite begins behind the last code of the piece before, so that a million codes take a million steps."""
    names = ("issued_at", "day", "idx", "rows", "issued_until", "now", "rule", "level_reason", "issued_by")
    statement = f"EXPLAIN QUERY PLAN SELECT code.idx {revoking._SELECTED} {revoking._NEXT}"
    with store._database.scan() as db:
        plan = [row["detail"] for row in db.all(statement, dict.fromkeys(names, 0))]
    assert any("(issued_at,day,idx)>(?,?,?)" in step for step in plan)
    assert not any("TEMP B-TREE" in step for step in plan)


def test_two_calls_with_one_id_share_the_pieces(store, open_store, monkeypatch):
    """A repeat that overtakes the first call finishes it; both give the same counts, and one says that it repeats."""
    other, heard = open_store(), []

    def overtake() -> None:
        monkeypatch.undo()
        heard.append(revoke_all(other))

    at_pauses(monkeypatch, overtake)
    assert revoke_all(store) == Revoked(CODES - 1, 1, repeated=True)
    assert heard == [Revoked(CODES - 1, 1)]


def test_a_forgotten_request_takes_its_progress_with_it(store, open_store, monkeypatch):
    """Pruned after a day, the id is new: what is revoked then counts as revoked before."""

    def kill() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        at_pauses(patched, kill)
        with pytest.raises(KeyboardInterrupt):
            revoke_all(store)
    store.prune(NOW + 86_400)
    assert revoke_all(store) == Revoked(CODES - 3, 3)


def test_no_scan_holds_up_a_look_up(store):
    """While the reader of look-ups is taken, everything that reads many rows goes on."""
    scans: list[Callable[[], object]] = [
        lambda: store.revoking.count_issued_under(SELECTION, NOW),
        lambda: store.revoking.count_codes([Revocation(DAY, 1)]),
        lambda: store.revoking.codes_of_holders([b"h" * 32], NOW),
        lambda: store.killing.codes_under(KID, b"", 9, NOW),
        lambda: store.publishing.revoked_indices(DAY, 99),
        lambda: store.publishing.revoked_between(DAY, 0, 99),
        lambda: store.publishing.changed_days(0),
        lambda: store.publishing.count_revoked(DAY, DAY),
        lambda: store.padding.unpadded_days(0),
        lambda: store.padding.padding_state(DAY),
    ]
    with ThreadPoolExecutor(1) as pool, store._database.read():
        for scan in scans:
            pool.submit(scan).result(timeout=10)


def test_writers_do_not_wait_while_the_codes_of_a_killed_key_are_counted(store, open_store, monkeypatch):
    """Another process writes meanwhile, and already sees the key as killed."""
    other, scan, seen = open_store(), Database.scan, []

    def look(database: Database):
        if database is store._database:
            revoke(other, 5, name="meanwhile")
            seen.append(other.killing.killed_kids())
        return scan(database)

    monkeypatch.setattr(Database, "scan", look)
    killed = store.killing.kill_key(KID, FRAUD, request("kill"), b"nextnext", NOW)
    assert killed == Killed(CODES, already_killed=False, next_kid=b"nextnext")
    assert seen == [{KID}]


def test_a_kill_that_was_cut_is_answered_by_its_id(store, open_store, monkeypatch):
    """The key is dead from the first write on; the repeat says that this request killed it."""

    def cut(_: Database) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Database, "scan", cut)
        with pytest.raises(KeyboardInterrupt):
            store.killing.kill_key(KID, FRAUD, request("kill"), b"nextnext", NOW)
    again = open_store()
    assert again.killing.killed_kids() == {KID}
    assert again.killing.find_killed(request("kill"), NOW) is None
    answer = Killed(CODES, already_killed=False, next_kid=b"nextnext")
    assert again.killing.kill_key(KID, FRAUD, request("kill"), None, NOW) == answer
    assert again.killing.kill_key(KID, FRAUD, request("second"), None, NOW).already_killed


def test_a_scan_is_one_view(store, open_store):
    """What others commit while it reads is not in it, and it writes nothing."""
    other = open_store()
    with store._database.scan() as db:
        before = db.one("SELECT count(*) FROM revocation")[0]
        revoke(other, 7, name="meanwhile")
        assert db.one("SELECT count(*) FROM revocation")[0] == before
    assert revoked_now(store) == before + 1
