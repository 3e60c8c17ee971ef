"""A unit starts what `init` makes: run as systemd would run it, with the credentials that the unit loads."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.simulator.fork_server import run_forked
from tests.simulator.process import Service, free_ports, init_registry, start_service
from tests.world.users import OTHER, give, owners_below

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "trust-registry.service"
BLOCK = re.compile(
    r"^```sh\n(install -m 0400 \S*/trust-registry/passphrase .*?)^```$", re.MULTILINE | re.DOTALL
)
REALM = "test-unit"
pytestmark = pytest.mark.long


def start_unit(machine: Path, log: Path) -> AbstractContextManager[Service]:
    """Runs ExecStart of the registry's unit. `machine` has var/lib and etc/credstore.

    A credential without a path is looked for in the store. One that is not there is skipped (systemd.exec(5)).
    """
    settings = [line.partition("=") for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    loaded = [value for name, _, value in settings if name == "LoadCredential"]
    assert all(":" not in value for value in loaded), "a path makes systemd refuse to start without the file"
    stored = {name: machine / "etc/credstore" / name for name in loaded}
    credentials = machine / "run/credentials"
    credentials.mkdir(parents=True, exist_ok=True)
    for name, path in stored.items():
        if path.exists():
            (credentials / name).write_bytes(path.read_bytes())
    (command,) = (value for name, _, value in settings if name == "ExecStart")
    _, *arguments = shlex.split(command.replace("%S", str(machine / "var/lib")))
    give(credentials, OTHER)  # systemd gives them to the service's user
    environ: Mapping[str, str] = (
        {"CREDENTIALS_DIRECTORY": str(credentials)} if any(credentials.iterdir()) else {}
    )
    return start_service("trust_registry", *arguments, log=log, environ=environ, user=OTHER)


@pytest.fixture
def machine() -> Iterator[Path]:
    """A machine's root: everybody may pass, and /etc/credstore is root's."""
    with tempfile.TemporaryDirectory(prefix="machine-") as made:
        root = Path(made)
        root.chmod(0o755)
        (root / "var/lib").mkdir(parents=True)
        (root / "etc/credstore").mkdir(parents=True, mode=0o700)
        yield root


def test_the_registrys_unit_starts_what_init_makes(machine: Path, tmp_path: Path) -> None:
    """At once, with the passphrase that `init` drew; and after the page's commands, which hand it to systemd."""
    folder = machine / "var/lib/trust-registry"
    init_registry(folder, REALM, *free_ports(2))
    give(folder, OTHER)
    with start_unit(machine, tmp_path / "log") as service:
        assert service.stop() == 0
    found = BLOCK.search((ROOT / "docs/operating.md").read_text(encoding="utf-8"))
    assert found is not None
    here = re.sub(r"(?<=\s)/(etc|var)/", rf"{machine}/\1/", found[1])
    subprocess.run(["bash", "-euo", "pipefail", "-c", here], check=True)
    passphrase = machine / "etc/credstore/registry-passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o400
    assert not (folder / "passphrase").exists()
    with start_unit(machine, tmp_path / "log") as service:
        assert service.stop() == 0
    # commands do not get the credential
    told = {}
    for given in ((), ("--passphrase-file", passphrase)):
        done = run_forked("", "check", "--dir", folder, "--json", *given, module="trust_registry")
        assert done.returncode == 0, done.stdout
        findings = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
        told[bool(given)] = findings["configuration and keys"]
    assert (told[False]["grade"], told[True]["grade"]) == ("WARNING", "OK")
    assert "--passphrase-file" in told[False]["detail"]
    rotate = ("", "propose", "rotation", "timestamp", "--dir", folder)
    assert "--passphrase-file" in run_forked(*rotate, module="trust_registry").stderr
    done = run_forked(*rotate, "--passphrase-file", passphrase, module="trust_registry")
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "keys").glob("timestamp*.key"))) == 2
    assert {owner for owner, _ in owners_below(folder)} == {OTHER}


def test_what_root_backs_up_and_restores_the_unit_starts(machine: Path, tmp_path: Path) -> None:
    """Root's backup is root's alone; the restored folder is the service's, passphrase and all."""
    folder, backup = machine / "var/lib/trust-registry", tmp_path / "registry.tar"
    init_registry(folder, REALM, *free_ports(2))
    give(folder, OTHER)
    done = run_forked("", "backup", "--dir", folder, backup, module="trust_registry")
    assert done.returncode == 0, done.stderr
    assert (backup.stat().st_uid, backup.stat().st_mode & 0o777) == (os.geteuid(), 0o600)
    done = run_forked("", "restore", "--dir", folder, "--replace", backup, "--json", module="trust_registry")
    assert done.returncode == 0, done.stderr
    assert {owner for owner, _ in owners_below(folder)} == {OTHER}
    assert {owner for owner, _ in owners_below(Path(json.loads(done.stdout)["replaced"]))} == {OTHER}
    with start_unit(machine, tmp_path / "log") as service:
        assert service.stop() == 0
    assert "awaits_reports" in (tmp_path / "log").read_text()
