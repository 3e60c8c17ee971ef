"""A unit starts what `init` makes: run as systemd would run it, with the credentials that the unit loads."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tests.simulator.process import Service, free_ports, init_registry, start_service
from tests.world.command import run_command_here

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "trust-registry.service"
BLOCK = re.compile(
    r"^```sh\n(install -m 0400 \S*/trust-registry/passphrase .*?)^```$", re.MULTILINE | re.DOTALL
)
REALM = "test-unit"


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
    environ: Mapping[str, str] = (
        {"CREDENTIALS_DIRECTORY": str(credentials)} if any(credentials.iterdir()) else {}
    )
    return start_service("trust_registry", *arguments, log=log, environ=environ)


def test_the_registrys_unit_starts_what_init_makes(tmp_path: Path) -> None:
    """At once, with the passphrase that `init` drew; and after the page's commands, which hand it to systemd."""
    folder = tmp_path / "var/lib/trust-registry"
    (tmp_path / "etc/credstore").mkdir(parents=True)
    folder.parent.mkdir(parents=True)
    init_registry(folder, REALM, *free_ports(2))
    with start_unit(tmp_path, tmp_path / "log") as service:
        assert service.stop() == 0
    found = BLOCK.search((ROOT / "docs/operating.md").read_text(encoding="utf-8"))
    assert found is not None
    here = re.sub(r"(?<=\s)/(etc|var)/", rf"{tmp_path}/\1/", found[1])
    subprocess.run(["bash", "-euo", "pipefail", "-c", here], check=True)
    passphrase = tmp_path / "etc/credstore/registry-passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o400
    assert not (folder / "passphrase").exists()
    with start_unit(tmp_path, tmp_path / "log") as service:
        assert service.stop() == 0
    # commands do not get the credential
    told = {}
    for given in ((), ("--passphrase-file", passphrase)):
        done = run_command_here("trust_registry", "check", "--dir", folder, "--json", *given)
        assert done.returncode == 0, done.stdout
        findings = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
        told[bool(given)] = findings["configuration and keys"]
    assert (told[False]["grade"], told[True]["grade"]) == ("WARNING", "OK")
    assert "--passphrase-file" in told[False]["detail"]
    rotate = ("trust_registry", "propose", "rotation", "timestamp", "--dir", folder)
    assert "--passphrase-file" in run_command_here(*rotate).stderr
    done = run_command_here(*rotate, "--passphrase-file", passphrase)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "keys").glob("timestamp*.key"))) == 2
