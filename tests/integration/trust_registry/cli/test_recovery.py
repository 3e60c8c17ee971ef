"""`trust-registry rebuild` from what is left on a bad day, over real sockets: a registry, a web server, a node's folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from healthcode.clock import SystemClock
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.mirror import run_mirror
from tests.simulator.process import free_ports, start_service
from tests.simulator.registry import Province, admit, found_registry, plan
from tests.world.command import run_command_here
from trust_registry.mirror.export import export_tree
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry

REALM = "test-registry"
MODULE = "trust_registry"


def publish(registry: Registry, province: Province, version: int) -> None:
    metadata, head = province.live_publication(version)
    Publisher(registry.repository).publish_revocations(province.code, metadata, head, {})


def test_a_registry_is_rebuilt_from_three_kinds_of_sources(tmp_path: Path) -> None:
    """The old copy still serves over gRPC, a mirror over HTTP is newer, a node newer still: all of it is taken."""
    listen, public = (f"127.0.0.1:{port}" for port in free_ports(2))
    registry = found_registry(
        tmp_path / "registry", clock=SystemClock(), ceremony=plan(REALM, listen=listen, public=public)
    )
    now = int(time.time())
    provinces = [Province(code, REALM, now=now) for code in ("31", "44")]
    admit(registry, *provinces)
    for province in provinces:
        publish(registry, province, 1)
    shutil.copytree(registry.folder.root, tmp_path / "old")
    publish(registry, provinces[0], 2)
    export_tree(registry.repository, tmp_path / "mirror", keep_seconds=3600)
    publish(registry, provinces[1], 2)
    fingerprint = root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    tree = FolderSource(registry.folder.repository)
    init_trust(tmp_path / "node", tree, fingerprint)
    held = TrustClient(tmp_path / "node", tree).refresh(now).view
    mirror = tmp_path / "mirror"
    files = {
        path.relative_to(mirror).as_posix(): path.read_bytes() for path in mirror.rglob("*") if path.is_file()
    }
    root = registry.folder.root
    kept = ("--configuration", root / "registry.toml", "--keys", root / "keys", "--tls", root / "tls")
    with (
        start_service(MODULE, "serve", "--dir", tmp_path / "old", log=tmp_path / "old.log"),
        run_mirror(files) as web,
    ):
        sources = [f"grpcs://{public}", web.url, str(tmp_path / "node"), "grpcs://127.0.0.1:1"]
        done = run_command_here(
            *(MODULE, "rebuild", "--dir", tmp_path / "anew", "--root-fingerprint", fingerprint, "--json"),
            *(argument for source in sources for argument in ("--from", source)),
            *("--ca", root / "tls" / "ca.pem", *kept, "--passphrase-file", root / "passphrase"),
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "the trust folder" in told["taken_from"]
    assert (told["participants"], told["lacking"]) == (2, {})
    assert list(told["refused"]) == ["the registry 127.0.0.1:1"]
    assert told["resumes_above"]["snapshot"] == held.snapshot_version
    assert run_command_here(MODULE, "check", "--dir", tmp_path / "anew").returncode == 0
    with start_service(MODULE, "serve", "--dir", tmp_path / "anew", log=tmp_path / "anew.log"):
        pass
    anew = TrustClient(tmp_path / "node", FolderSource(tmp_path / "anew" / "repository"))
    result = anew.refresh(int(time.time()))
    assert result.view.timestamp_version > held.timestamp_version
    assert result.rejected == ()
    assert {code: issuer.live_version for code, issuer in result.view.issuers.items()} == {"31": 2, "44": 2}


def test_a_registry_at_grpcs_needs_its_ca(tmp_path: Path) -> None:
    """The command says what to give, and makes nothing."""
    done = run_command_here(
        *(MODULE, "rebuild", "--dir", tmp_path / "anew", "--from", "grpcs://127.0.0.1:1"),
        *("--root-fingerprint", "sha256:" + 64 * "0"),
    )
    assert done.returncode == 2
    assert "--ca" in done.stderr
    assert not (tmp_path / "anew").exists()
