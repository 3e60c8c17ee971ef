"""`audit accept-restart`, and what `status` and `check` say of other provinces' audit logs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from healthcode.audit.checkpoint import Checkpoint
from province_node.__main__ import cli
from province_node.witness.judge import Shown, Witnessed, look
from province_node.witness.sentences import audit_rows, audit_steps
from province_node.witness.witness_file import WitnessFile

NOW = 1_800_000_000
OLD, NEW = b"L" * 16, b"M" * 16
KEPT = Witnessed(Checkpoint(OLD, 512, b"r" * 32), 7)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tls").mkdir()
    (tmp_path / "node.toml").write_text(
        """
participant = "31"
realm = "test-audit"
listen = "127.0.0.1:1"
issuer_listen = "127.0.0.1:2"
[tls]
certificate = "tls/node.pem"
private_key = "tls/node.key"
ca = "tls/ca.pem"
[registry]
endpoint = "127.0.0.1:3"
ca = "tls/registry.pem"
root_fingerprint = "sha256:%s"
"""
        % ("0" * 64)
    )
    return tmp_path


def run(folder, *arguments: str, status: int = 0) -> dict[str, object]:
    done = CliRunner().invoke(
        cli, ["audit", "accept-restart", "--dir", str(folder), *arguments, "--json"], standalone_mode=True
    )
    assert (done.exit_code != 0) == (status != 0), done.output
    return json.loads(done.stdout) if done.stdout.strip() else {}


def test_a_person_accepts_the_log_that_waits_and_no_other(folder) -> None:
    """The log is named, so that nobody accepts another one than was looked at; then nothing is held against it."""
    file = WitnessFile(folder / "trust")
    run(folder, "44", "--log", NEW.hex(), status=1)
    file.change("44", lambda _: look(KEPT, Shown(8, Checkpoint(NEW, 256, b"n" * 32)), NOW))
    (step,) = audit_steps(file.read(), NOW)
    assert f"accept-restart 44 --log {NEW.hex()}" in step
    for wrong in (OLD.hex(), "abc", NEW.hex().upper()):
        run(folder, "44", "--log", wrong, status=1)
    assert file.read()["44"].restart is not None
    assert run(folder, "44", "--log", NEW.hex())["size"] == 256
    assert list(audit_steps(file.read(), NOW)) == []
    assert audit_rows(file.read(), NOW)[0]["log"] == NEW.hex()


def test_each_alarm_says_what_to_do_and_shows_no_person() -> None:
    """One sentence for each; a fork before a restart, and silence after a day."""
    forked = look(KEPT, Shown(8, Checkpoint(OLD, 256, b"n" * 32)), NOW)
    silent = look(KEPT, Shown(8, None), NOW)
    assert forked is not None
    assert silent is not None
    steps = list(audit_steps({"44": forked, "11": silent}, NOW + 86_400))
    assert steps[0].startswith("AUDIT_UNPROVED: 11")
    assert "CHECKPOINT_MISSING" in steps[0]
    assert steps[1].startswith("AUDIT_FORK: the audit log of 44 was rewritten: it had 512 entries")
    assert "Its codes are verified as before" in steps[1]
