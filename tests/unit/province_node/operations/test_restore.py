"""A restore gives no index twice and un-revokes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import ConfigurationError, PreconditionError, Reason, UnavailableError
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.trust.store import TrustStore
from province_node.operations.backup import write_backup
from province_node.operations.restore import restore_node
from province_node.store.audit_records import AuditQuery
from province_node.store.records import RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from province_node.witness.witness_file import WITNESS_FILE
from tests.simulator.realm import NOW
from tests.unit.province_node.operations.backed_up import TODAY
from tests.unit.province_node.world import HOME


def test_no_index_is_given_twice_even_when_the_same_backup_is_restored_twice(node, tmp_path):
    """What was drawn before the backup, after it, and after the first restore never comes again."""
    drawn = [node.draw()]
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    drawn += [node.draw(), node.draw(day=TODAY + 3)]
    for series in (1, 2):
        restored = node.restore(tmp_path / "b.tar")
        assert restored.first_series == series
        assert node.publish().first_series == series
        drawn += [node.draw(), node.draw(day=TODAY + 3)]
    same_day = [each for number, each in enumerate(drawn) if number in {0, 1, 3, 5}]
    assert len(set.union(*same_day)) == sum(map(len, same_day))
    assert {index >> 26 for index in drawn[-1] | drawn[-2]} == {2}


def test_nothing_is_issued_before_the_registry_knows_of_the_new_series(node, tmp_path):
    """The last publication is forgotten, and issuing waits for one that was acknowledged."""
    node.publish()
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.restore(tmp_path / "b.tar")
    assert node.store.publishing.publication() is None


def test_a_restored_node_begins_an_audit_log_that_names_the_old_one(node, tmp_path):
    """Others see that the log was restarted; what the backup has of the old one can still be read and proved."""
    node.revoke(1)
    old = node.store.audit.checkpoint(NOW)
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.revoke(2)
    node.restore(tmp_path / "b.tar")
    new = node.store.audit.checkpoint(NOW)
    assert new.log != old.log
    named = node.store.audit.newest("LOG_BEGUN", "log").entry.content
    assert named == {"log": old.log, "size": old.size, "root": old.root}
    assert [each.entry.event for each in node.store.audit.query(AuditQuery(), None, 9)[0]] == [
        "LOG_BEGUN",
        "REVOKED",
        "LOG_BEGUN",
    ]


def test_nothing_is_un_revoked(node, tmp_path):
    """What was revoked and killed after the backup is in the next head all the same."""
    node.revoke(1, 2)
    node.publish()
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.revoke(3, 4, 2**26 * 3 + 9)
    node.revoke(77, day=TODAY + 1)
    node.store.killing.kill_key(
        b"k" * 8, RevocationReason.KEY_COMPROMISED, node.world.request("k"), None, NOW
    )
    before = node.publish()
    restored = node.restore(tmp_path / "b.tar")
    assert (restored.revocations_taken_in, restored.killed_keys) == (4, 1)
    assert restored.first_series == 4, "above every series that is seen in use"
    node.revoke(5)
    after = node.publish()
    assert after.version > before.version
    assert after.killed_kids == {b"k" * 8}
    state = node.world.view.issuers[HOME].revocations
    assert set(state.lists[TODAY]) == {1, 2, 3, 4, 5, 2**26 * 3 + 9}
    assert set(state.lists[TODAY + 1]) == {77}


def test_series_come_back_once_their_days_are_over(node, tmp_path):
    """A restore costs a series only for the days that can have had codes before it."""
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.restore(tmp_path / "b.tar")
    assert node.store.issuing.reserve_block(TODAY + 5, 10).series == 1
    assert node.store.issuing.reserve_block(TODAY + 200, 10).series == 0
    assert (node.store.publishing.first_series(TODAY), node.store.publishing.first_series(TODAY + 200)) == (
        1,
        0,
    )


def test_when_every_series_was_opened_a_restored_node_revokes_and_does_not_issue(node, tmp_path):
    """After fifteen restores within a month no index is surely new; what is revoked goes out all the same."""
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    issuer = node.world.view.issuers[HOME]
    state = issuer.revocations
    worn = replace(state, head=replace(state.head, first_series=SERIES_LIMIT - 1))
    node.world.view = replace(
        node.world.view, issuers={**node.world.view.issuers, HOME: replace(issuer, revocations=worn)}
    )
    assert node.restore(tmp_path / "b.tar").first_series == SERIES_LIMIT
    with pytest.raises(PreconditionError) as caught:
        node.draw()
    assert caught.value.reason is Reason.INDEX_EXHAUSTED
    node.revoke(7)
    assert node.publish().first_series == SERIES_LIMIT
    assert 7 in node.world.view.issuers[HOME].revocations.lists[TODAY]


def seen_at_restore(node, source, root):
    """(whether the trust folder holds at the moment when the registry is asked, what entry.json says then)."""
    seen: list[tuple[bool, str]] = []

    def look(settings):
        folder = settings.trust.folder
        entry = folder / "entry.json"
        is_there = (folder / "trust.json").exists() and TrustStore.open(
            folder
        ).view.realm == node.world.realm.realm
        seen.append((is_there, entry.read_text() if entry.exists() else ""))
        return node.world.view

    node.store.close()
    restore_node(source, root, trust=look, now=NOW, replace=root.exists())
    return seen[-1]


def test_what_this_node_asked_for_comes_back_with_it(node, tmp_path):
    """A new authority that it asked for raises no alarm after a restore into an empty folder."""
    (node.root / "trust").mkdir()
    (node.root / "trust" / "entry.json").write_text('{"expected": []}')
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    assert seen_at_restore(node, tmp_path / "b.tar", tmp_path / "elsewhere") == (False, '{"expected": []}')
    assert not (tmp_path / "elsewhere" / "entry.json").exists()


def test_what_was_witnessed_of_others_comes_back_unless_newer_is_there(node, tmp_path):
    """A restored node still holds other provinces to the checkpoints that it kept."""
    (node.root / "trust").mkdir()
    (node.root / "trust" / WITNESS_FILE).write_text("kept")
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.store.close()
    elsewhere = tmp_path / "elsewhere"

    def look(settings):
        assert (settings.trust.folder / WITNESS_FILE).read_text() == "kept"
        return node.world.view

    restore_node(tmp_path / "b.tar", elsewhere, trust=look, now=NOW, replace=False)
    assert (elsewhere / "trust" / WITNESS_FILE).read_text() == "kept"
    assert not (elsewhere / WITNESS_FILE).exists()


def test_a_node_that_is_replaced_leaves_its_trust_to_the_restored_one(node, tmp_path):
    """What it has seen, as an authority that waits, and what it asked for since the backup, is not forgotten."""
    (node.root / "trust").mkdir()
    (node.root / "trust" / "entry.json").write_text("old")
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    node.world.realm.client(node.root / "trust").refresh(NOW)
    (node.root / "trust" / "entry.json").write_text("newer")
    assert seen_at_restore(node, tmp_path / "b.tar", node.root) == (True, "newer")
    assert TrustStore.open(node.root / "trust").view.realm == node.world.realm.realm


def test_trust_that_does_not_hold_is_begun_anew(node, tmp_path):
    """The folder of a damaged node is no reason to refuse a restore."""
    node.world.realm.client(node.root / "trust").refresh(NOW)
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    (node.root / "trust" / "trust.json").write_text("{")
    assert seen_at_restore(node, tmp_path / "b.tar", node.root) == (False, "")


def test_without_the_registry_nothing_is_restored(node, tmp_path):
    """A restore that cannot ask what is revoked would un-revoke: it ends, and changes nothing."""
    write_backup(node.root, tmp_path / "b.tar", now=NOW)

    def dark(_settings):
        raise UnavailableError("the registry is out of reach")

    with pytest.raises(UnavailableError):
        restore_node(tmp_path / "b.tar", tmp_path / "new", trust=dark, now=NOW)
    assert not (tmp_path / "new").exists()


def test_a_restore_does_not_replace_a_node_unasked(node, tmp_path):
    """Without `replace` a folder with a node stays; with it the old one is kept aside."""
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    with pytest.raises(ConfigurationError):
        restore_node(tmp_path / "b.tar", node.root, trust=lambda _s: node.world.view, now=NOW)
    restored = node.restore(tmp_path / "b.tar")
    assert (restored.replaced / "keys" / "passphrase").read_text() == "secret"


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_restore_puts_database_keys_and_officers_where_node_toml_has_them(node, tmp_path, where):
    """Restored data is what the node reads, also when node.toml keeps it on another volume."""
    volume = tmp_path / "volume" if where == "outside" else node.root / "data"
    text = (node.root / "node.toml").read_text()
    database = str(volume / "31.db") if where == "outside" else "data/31.db"
    folder = str(volume / "keys") if where == "outside" else "data/keys"
    officers = str(volume / "officers") if where == "outside" else "data/officers"
    text = f'database = "{database}"\nofficers = "{officers}"\n{text}'.replace(
        "[keys]", f'[keys]\nfolder = "{folder}"'
    )
    (node.root / "node.toml").write_text(text)
    node.revoke(1, 2)
    node.store.close()
    volume.mkdir()
    (node.root / "node.db").rename(volume / "31.db")
    (node.root / "keys").rename(volume / "keys")
    (volume / "officers").mkdir()
    (volume / "officers" / "admitted").write_text("in force once")
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    before = (volume / "31.db").read_bytes()
    if where == "outside":
        with pytest.raises(ConfigurationError, match=r"31\.db"):
            restore_node(tmp_path / "b.tar", tmp_path / "new", trust=lambda _s: node.world.view, now=NOW)
        assert (volume / "31.db").read_bytes() == before
    restore_node(tmp_path / "b.tar", node.root, trust=lambda _s: node.world.view, now=NOW, replace=True)
    assert (volume / "officers" / "admitted").read_text() == "in force once"
    store = SqliteNodeStore(volume / "31.db")
    try:
        assert store.publishing.revoked_indices(TODAY, store.publishing.last_revocation()) == [1, 2]
        assert store.publishing.first_series(TODAY) == 1
    finally:
        store.close()
    assert (volume / "keys" / "live.key").read_text() == "sealed"
    assert not (node.root / "node.db").exists()
    if where == "outside":
        (aside,) = volume.glob("31.db.replaced-*")
        assert aside.read_bytes() == before
