"""Each fault of a node's folder stops the start with its own message and exit status."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo.federation import Federation, here
from examples.demo.process import Completed, run
from healthcode import TrustStore
from tests.world.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A running registry, gateway and Shanghai."""
    made = Federation(tmp_path_factory.mktemp("federation"), participants=("31",))
    try:
        made.set_up(lambda _: None)
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def node(federation: Federation, tmp_path: Path) -> Path:
    """A copy of Shanghai's folder, on free ports."""
    folder = tmp_path / "node"
    shutil.copytree(federation.node("31"), folder)
    settings = folder / "node.toml"
    text = settings.read_text()
    for port in (federation.ports.node["31"], federation.ports.issuer["31"]):
        text = text.replace(here(port), here(0))
    settings.write_text(text)
    return folder


def refused(folder: Path, status: int, *words: str) -> None:
    """`serve` ends with this status and one message that contains these words."""
    _check(run("province-node", "serve", "--dir", folder, status=None), status, *words)


def _check(done: Completed, status: int, *words: str) -> None:
    said = done.out + done.err
    assert done.status == status, said
    assert "Traceback" not in said
    sentence = done.err.strip().splitlines()[-1]
    assert sentence.startswith("error: "), said
    # the console may wrap the sentence, so look at all that was said
    flat = " ".join(done.err.split())
    for word in words:
        assert word in flat, said


def test_a_missing_key_file(node: Path) -> None:
    """Without the one key that cannot be rotated a node does not start, and names it."""
    next((node / "keys").glob("index*")).unlink()
    refused(node, 2, "missing", "keys")


def test_a_key_that_others_can_read(node: Path) -> None:
    """A key file of mode 0644 stops the start with the command that repairs it."""
    key = next((node / "keys").glob("*.key"))
    key.chmod(0o644)
    refused(node, 2, "chmod 600", key.name)


def test_a_wrong_passphrase(node: Path) -> None:
    """A passphrase that does not open the keys is named."""
    (node / "passphrase").write_text("another one altogether\n")
    refused(node, 2, "passphrase", "does not open")


def test_a_certificate_of_another_party(federation: Federation, node: Path) -> None:
    """The gateway's certificate in a node's folder stops the start."""
    for mine, theirs in (("node.pem", "gateway.pem"), ("node.key", "gateway.key"), ("ca.pem", "ca.pem")):
        shutil.copy(federation.gateway / "tls" / theirs, node / "tls" / mine)
    refused(node, 2, "gateway")


def test_an_authority_key_on_the_node(federation: Federation, node: Path) -> None:
    """An offline key anywhere in a node's folder stops the start."""
    (node / "old").mkdir()
    shutil.copy(federation.authority("31") / "authority-1.key", node / "old" / "forgotten.key")
    refused(node, 2, "forgotten.key", "authority")


def test_an_unknown_setting(node: Path) -> None:
    """An unknown key in node.toml is named."""
    settings = node / "node.toml"
    settings.write_text('lissten = "127.0.0.1:1"\n' + settings.read_text())
    refused(node, 2, "lissten")


def test_a_port_in_use(federation: Federation, node: Path) -> None:
    """A port that another process listens on is named."""
    shutil.copy(federation.node("31") / "node.toml", node / "node.toml")
    refused(node, 4, here(federation.ports.node["31"]))


def test_no_trust_and_no_registry(federation: Federation, node: Path) -> None:
    """Without trust and registry a node does not start, because it could decide nothing."""
    shutil.rmtree(node / "trust")
    settings = node / "node.toml"
    settings.write_text(settings.read_text().replace(here(federation.ports.registry_public), here(9)))
    refused(node, 4, "registry")


def test_a_corrupt_trust_file(federation: Federation, tmp_path: Path) -> None:
    """If a file of the newest generation is corrupt, the one before it is used, with a warning."""
    folder = tmp_path / "trust"
    federation.begin_client(folder)
    first = TrustStore.open(folder).generation
    # two keys that nobody uses: enough for the registry to have something new
    federation.rotate("31", "PAPER")
    give_up = time.monotonic() + PATIENCE_SECONDS
    while TrustStore.open(folder).generation == first:
        assert time.monotonic() < give_up
        run("healthcode", "trust", "sync", "--dir", folder)
    newest = TrustStore.open(folder).generation
    victim = next((folder / "generations" / str(newest)).rglob("*province.json"))
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-9])
    shown = run("healthcode", "trust", "show", "--dir", folder, "--json").json()
    assert shown["generation"] < newest
    assert shown["warnings"]
