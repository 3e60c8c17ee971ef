"""Services of one user and commands of root in the same folders: what root makes, the services can use."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from healthcode.rpc.convert import duration
from healthcode.v1 import verdict_pb2
from tests.integration.province_node.world import Federation, open_federation
from tests.simulator.fork_server import run_forked
from tests.world.users import IS_ROOT, OTHER, STRANGER, give, owners_below
from tests.world.waiting import eventually, wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_owners")]


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """The registry and Shanghai's node run as another user, who owns their folders, if root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="owners-") as name:
        Path(name).chmod(0o755)
        with open_federation(Path(name), ("31",)) as made:
            made.user = OTHER
            for service, folder in (("registry", made.root / "registry"), ("31", made.node("31"))):
                made.stop(service)
                give(folder, OTHER)
                made.start(service)
            asyncio.run(eventually(lambda: _issues(made)))
            yield made


async def _issues(federation: Federation) -> bool:
    code = (await federation.issue(validity=duration(3600))).code
    return (await federation.verify(code, "31")).outcome == verdict_pb2.OUTCOME_VALID


def run(module: str, *arguments: str | Path, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as whoever runs the tests or as another user."""
    return run_forked("", *arguments, module=module, user=user)


def told(module: str, *arguments: str | Path) -> Any:
    done = run(module, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def named_by_root(federation: Federation) -> Iterator[Path]:
    """The passphrase of Shanghai's keys, in a file of root's own folder, as /etc/healthcode is."""
    with tempfile.TemporaryDirectory(prefix="etc-") as name:
        file = Path(name) / "node-passphrase"
        file.write_bytes((federation.node("31") / "passphrase").read_bytes())
        file.chmod(0o600)
        yield file


def test_a_key_that_root_makes_signs(federation: Federation) -> None:
    """`keys rotate` and `publish` as root: the running service opens the key, signs with it, and starts again."""
    node = federation.node("31")
    with named_by_root(federation) as passphrase:
        made = told(
            *("province_node", "keys", "rotate", "--dir", node),
            *("--purpose", "LIVE", "--passphrase-file", passphrase),
        )
    told("province_node", "publish", "--dir", node, "--bundle", federation.sign("31"))
    assert list(owners_below(node)) == [(OTHER, node.stat().st_gid)]

    async def is_signed_with_it() -> bool:
        return (await federation.issue(validity=duration(3600))).kid == made["kid"]

    asyncio.run(eventually(is_signed_with_it))
    assert lines_of(federation)[made["kid"]]["held"] is True
    assert federation.stop("31") == 0
    federation.start("31")
    asyncio.run(eventually(is_signed_with_it))


def lines_of(federation: Federation) -> dict[str, dict[str, Any]]:
    """What `keys list` tells of each key, by kid."""
    lines = told("province_node", "keys", "list", "--dir", federation.node("31"))
    return {line["kid"]: line for line in lines if line["kid"] is not None}


def unreadable(federation: Federation) -> str:
    """The metric, as Prometheus reads it."""
    with urllib.request.urlopen(f"http://{federation.settings('31').metrics.listen}/metrics") as answer:
        text = answer.read().decode()
    return next(line for line in text.splitlines() if line.startswith("healthcode_unreadable_keys ")).split()[
        1
    ]


def test_a_key_that_the_service_cannot_open_is_told(federation: Federation) -> None:
    """`status`, `keys list` and `publish` say that it is not held, and why; the metric counts it until it opens."""
    node = federation.node("31")
    made = told("province_node", "keys", "rotate", "--dir", node, "--purpose", "LIVE")
    file = Path(made["key"])
    if IS_ROOT:
        os.chown(file, 0, 0)  # as an older release left it
    else:
        file.chmod(0)
    published = told("province_node", "publish", "--dir", node, "--bundle", federation.sign("31"))
    assert file.name in published["not_held"][0]
    assert "cannot sign with all keys" in published["next"]
    wait_until(lambda: unreadable(federation) == "1.0")
    assert made["kid"] not in lines_of(federation)
    status = told("province_node", "status", "--dir", node)
    assert list(status["process"]["cannot_open"]) == [file.name]
    assert any(file.name in each and "does not hold it" in each for each in status["warnings"])
    if IS_ROOT:
        os.chown(file, OTHER, OTHER)
    else:
        file.chmod(0o600)
    wait_until(lambda: unreadable(federation) == "0.0")
    assert lines_of(federation)[made["kid"]]["held"] is True
    assert told("province_node", "status", "--dir", node)["process"]["cannot_open"] == {}


def test_without_a_service_nothing_is_held(federation: Federation) -> None:
    """`status` and `keys list` say that no process runs, and claim nothing of one that did."""
    node = federation.node("31")
    assert federation.stop("31") == 0
    try:
        assert {line["held"] for line in lines_of(federation).values()} == {None}
        status = run("province_node", "status", "--dir", node, "--json")
        assert status.returncode == 4
        assert json.loads(status.stdout)["process"] is None
        assert "does not run" in run("province_node", "keys", "list", "--dir", node).stderr
    finally:
        federation.start("31")
    assert {line["held"] for line in lines_of(federation).values()} == {True}


def test_a_folder_is_served_once(federation: Federation) -> None:
    """A second process is refused before it opens anything."""
    done = run("province_node", "serve", "--dir", federation.node("31"), user=OTHER)
    assert done.returncode == 4
    assert "another process serves" in done.stderr


def test_a_proposal_that_root_makes_is_published_by_the_service(federation: Federation) -> None:
    """`propose` as root, and two operators as root: the registry reads the proposal, and nothing there is root's."""
    registry, process = federation.root / "registry", federation.services["registry"].process
    with tempfile.TemporaryDirectory(prefix="stick-") as name:
        made = told(
            *("trust_registry", "propose", "service", "gateway", "--dir", registry),
            *("--ca", federation.root / "gateway/tls/ca.pem", "--endpoint", "127.0.0.1:7445"),
            *("--out", Path(name) / "carried.json"),
        )
        shown = told("trust_registry", "show", "--dir", registry, Path(name) / "carried.json")
        assert shown["proposal"] == made["proposal"]
    listed = run("trust_registry", "proposals", "--dir", registry, "--json", user=OTHER)
    assert made["proposal"] in listed.stdout, listed.stderr
    with tempfile.TemporaryDirectory(prefix="holder-") as name:  # root's alone, as a stick may be
        holder = Path(name)
        for file in ("operator-1.key", "operator-2.key", "passphrase"):
            shutil.copy2(registry / "ceremony" / file, holder)
        for number in (1, 2):
            signed = told(
                *("trust_registry", "sign", made["proposal"], "--dir", registry, "--yes"),
                *("--key", holder / f"operator-{number}.key", "--passphrase-file", holder / "passphrase"),
            )
    assert signed["state"] == "PUBLISHED"
    assert list(owners_below(registry)) == [(OTHER, registry.stat().st_gid)]
    assert "task_failed" not in federation.services["registry"].log.read_text()
    assert process.poll() is None


def test_backups_go_where_root_says_and_come_back_as_the_owners(federation: Federation) -> None:
    """The file is root's; the restored folder is the service's, made beside the old one where only root may write."""
    node = federation.node("31")
    with tempfile.TemporaryDirectory(prefix="root-only-") as name:
        file = Path(name) / "node.tar"
        told("province_node", "backup", "--dir", node, file)
        assert file.stat().st_uid == Path(name).stat().st_uid
        assert federation.stop("31") == 0
        told("province_node", "restore", "--dir", node, "--replace", file)
    assert list(owners_below(node)) == [(OTHER, node.stat().st_gid)]
    federation.start("31")
    asyncio.run(eventually(lambda: _issues(federation)))


def test_a_stranger_is_told_whom_to_be(federation: Federation) -> None:
    """Status 2, a sentence, and nothing changed; without root there is no stranger, and the owner is none."""
    before = list(owners_below(federation.node("31")))
    done = run("province_node", "keys", "list", "--dir", federation.node("31"), user=STRANGER)
    if IS_ROOT:
        assert done.returncode == 2
        assert f"sudo -u '#{OTHER}'" in done.stderr
    else:
        assert done.returncode == 0
    assert list(owners_below(federation.node("31"))) == before
