"""Texts of codes are nowhere: not in the database or its log, not in a backup, not in the audit log."""

from __future__ import annotations

import tarfile
from pathlib import Path

from healthcode.audit.display import content_json
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.code import decode_code
from province_node.codes.issue import IssueUseCase
from province_node.codes.kill_key import KillUseCase
from province_node.codes.revoke import RevokeUseCase
from province_node.operations.backup import write_backup
from province_node.store.audit_records import AuditQuery
from province_node.store.records import RevocationReason
from tests.simulator.realm import NOW
from tests.unit.province_node.operations.backed_up import Node
from tests.unit.province_node.world import HOME, World
from tests.world.people import VALID_IDS, order


def test_no_text_of_an_issued_code_is_kept_anywhere(world: World, tmp_path: Path) -> None:
    """Every code issued, repeated, revoked by its text and out under a killed key is looked for in all that is kept."""
    node = Node(world, tmp_path / "node")
    kept, world.store = world.store, node.store
    world.cover()
    use_case: IssueUseCase = world.issuing()
    orders = [order(number) for number in VALID_IDS]
    texts: set[str] = set()
    for name in ("one", "one", "two"):
        texts |= {each.text for each in use_case.issue(orders, world.request(name)).results}
    use_case.close()
    common = {"trust": world.trust, "nudge": lambda: None, "clock": world.clock, "participant": HOME}
    revoking = RevokeUseCase(realm=world.realm.realm, store=node.store.revoking, **common)
    revoking.revoke(sorted(texts)[:2], RevocationReason.FRAUD, world.request("revoke"))
    live = world.realm.provinces[HOME].keys[KeyPurpose.LIVE]
    KillUseCase(keyring=world.keyring, store=node.store.killing, **common).kill(
        kid(live.public), RevocationReason.KEY_COMPROMISED, world.request("kill")
    )
    checkpoint = node.store.audit.checkpoint(NOW)
    backup = tmp_path / "b.tar"
    write_backup(node.root, backup, now=NOW)
    with tarfile.open(backup) as archive:
        (member,) = (each for each in archive.getmembers() if each.name == "node.db")
        copied = archive.extractfile(member)
        assert copied is not None
        stored = {"backup": copied.read()}
    for path in node.root.glob("node.db*"):  # with its write-ahead log, while the node runs
        stored[path.name] = path.read_bytes()
    entries, _ = node.store.audit.query(AuditQuery(), None, 1000)
    stored["audit log"] = "".join(f"{each} {content_json(each.entry.content)}" for each in entries).encode()
    assert {"node.db", "node.db-wal", "backup", "audit log"} == set(stored) - {"node.db-shm"}
    assert len(texts) == 2 * len(VALID_IDS)
    assert checkpoint is not None
    assert {each.entry.event for each in entries} >= {"ISSUED", "REVOKED", "KEY_KILLED"}
    for text in texts:
        decoded = decode_code(text, world.realm.realm)
        # the text, what follows its prefix, the COSE bytes, and the signature, in binary and in hexadecimal
        for form in (
            text.encode(),
            text.partition(":")[2][:40].encode(),
            decoded.cose,
            decoded.sign1.signature,
            decoded.sign1.signature.hex().encode(),
        ):
            assert not [where for where, data in stored.items() if form in data]
    world.store = kept
    node.store.close()
