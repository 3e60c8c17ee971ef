"""deploy/nginx/mirror.conf: a real nginx serves a mirror, and says what may be kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from healthcode.trust.client import TrustClient
from healthcode.trust.sources.http import HttpSource
from healthcode.trust.store import init_trust
from tests.simulator.nginx import SHIPPED, run_nginx
from tests.simulator.process import free_ports
from tests.simulator.realm import SimulatedRealm

FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def realm() -> SimulatedRealm:
    made = SimulatedRealm(("11", "31"))
    made.revoke("31", 7, made.now + 3600)
    made.publish_live("31")
    made.publish()
    return made


@pytest.fixture(scope="module")
def mirror(realm: SimulatedRealm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mirror")
    for path, data in realm.files.items():
        file = folder / "trust" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (port,) = free_ports(1)
    text = (SHIPPED / "mirror.conf").read_text()
    for old, new in {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "/srv/healthcode-mirror": str(folder),
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    configuration = tmp_path_factory.mktemp("nginx") / "nginx.conf"
    # workers of root's nginx would be another user, who may not enter the tests' folders
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(f"{user} events {{}} http {{ access_log off; {text} }}")
    with run_nginx(configuration, port=port):
        yield f"http://127.0.0.1:{port}/trust"


def test_what_never_changes_may_be_kept_and_nothing_else(realm: SimulatedRealm, mirror: str) -> None:
    """Every file but the timestamp is kept for ever; the timestamp, the next root and whatever is not there never unasked."""
    absent = ("metadata/2.root.json", "metadata/99.snapshot.json", "lists/" + "0" * 64, "targets/none.json")
    assert any(path.startswith("lists/") for path in realm.files)
    with urllib3.PoolManager() as pool:
        for path in (*realm.files, *absent):
            answer = pool.request("GET", f"{mirror}/{path}", retries=False)
            assert answer.status == (404 if path in absent else 200), path
            kept = path in realm.files and path != "metadata/timestamp.json"
            assert answer.headers["Cache-Control"] == (FOR_EVER if kept else "no-cache"), path


def test_a_client_follows_the_mirror(realm: SimulatedRealm, mirror: str, tmp_path: Path) -> None:
    """A trust folder is begun and filled from it."""
    source = HttpSource(mirror)
    init_trust(tmp_path, source, realm.fingerprint)
    assert TrustClient(tmp_path, source).refresh(realm.now).changed
    source.close()
