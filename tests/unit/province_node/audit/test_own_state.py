"""Changes of settings, certificate and keys leave one entry each."""

from __future__ import annotations

from pathlib import Path

from province_node.audit.own_state import OwnState
from province_node.settings import NodeSettings
from province_node.store.audit_records import AuditQuery

SETTINGS = NodeSettings.model_validate(
    {
        "participant": "31",
        "realm": "test-own",
        "listen": "127.0.0.1:1",
        "issuer_listen": "127.0.0.1:2",
        "tls": {"certificate": "a", "private_key": "b", "ca": "c"},
        "registry": {"endpoint": "127.0.0.1:3", "ca": "c", "root_fingerprint": "sha256:" + "0" * 64},
    }
)


def test_each_change_leaves_one_entry_also_across_a_restart(world, tmp_path: Path) -> None:
    """The first look records all, later ones only what changed since, by this process or the one before."""
    store = world.store.audit
    certificate = ["sha256:a"]

    def made(settings: NodeSettings = SETTINGS) -> OwnState:
        return OwnState(settings, world.keyring, store, world.clock, certificate=lambda: certificate[0])

    def events() -> list[str]:
        return [each.entry.event for each in store.query(AuditQuery(subject="node"), None, 99)[0]][::-1]

    first = ["SETTINGS_CHANGED", "KEYS_CHANGED", "CERTIFICATE_CHANGED"]
    own = made()
    own.note()
    own.note()
    made().note()
    assert events() == first
    keys = store.newest("KEYS_CHANGED", "node").entry.content["keys"]
    assert [each.split()[0] for each in keys] == ["ANSWER", "HEAD", "LIVE", "PAPER", "QUESTION"]
    certificate[0] = "sha256:b"
    own.note()
    certificate[0] = ""  # unreadable for a moment: no change
    own.note()
    made(SETTINGS.model_copy(update={"participant": "32"})).note()
    assert events() == [*first, "CERTIFICATE_CHANGED", "SETTINGS_CHANGED"]
    assert store.newest("CERTIFICATE_CHANGED", "node").entry.content == {"public_key": "sha256:b"}
