"""Runs the blocks “In containers” of docs/operating.md with a `docker` that runs each command here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from healthcode.rpc.mtls.development_ca import make_ca
from tests.deploy.stand_ins import INSTALL
from tests.simulator.process import run_to_end
from tests.world.clock import NOW

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## In containers$(.*?)^# Day 1$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIGURATION = {"registry": "registry.toml", "node": "node.toml", "gateway": "gateway.toml"}
pytestmark = pytest.mark.long

_DOCKER = """\
#!/bin/bash
# `docker compose -f FILE run --rm SERVICE COMMAND…` runs the command here; what needs a running service is noted
set -euo pipefail
if [ "$1 $2 $4" != "compose -f run" ] || [ "$8" = join ]; then echo "${*:4}" >> "$NOTES"; exit 0; fi
[ "$5" = "--rm" ]
stick=$PWD/deploy/stick service=$6
shift 6
mkdir -p "$VOLUMES/$service"
words=()
for word in "$@"; do
    word=${word/#\\/data/$VOLUMES/$service}
    word=${word/#\\/stick/$stick}
    words+=("${word/#\\/run\\/secrets/$SECRETS}")
done
PATH="$BIN:$PATH" "${words[@]}"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the three volumes, after the page's commands."""
    tmp_path = tmp_path_factory.mktemp("machine")
    stick, holder, scripts = tmp_path / "stick", tmp_path / "holder", tmp_path / "bin"
    for folder in (stick, holder, scripts, tmp_path / "deploy"):
        folder.mkdir()
    for name, text in {"docker": _DOCKER, "chown": "#!/bin/bash\n", "install": INSTALL}.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase for a rehearsal")
    passphrase.chmod(0o600)
    for kind in ("root", "operator"):
        for number in (1, 2, 3):
            name = f"{kind}-{number}"
            made = ("--out", holder / name, "--passphrase-file", passphrase, "--development")
            run_to_end("trust_registry", "key", "new", kind, "--realm", "test-boxes", "--name", name, *made)
            shutil.copy(holder / name / f"{name}.card.json", stick)
    # what the province's PKI made lies in the current folder
    for name in ("ca", "sh-ca", "gateway", "node", "issuer", "integrator"):
        ca = make_ca(name, days=10, now=NOW)
        (tmp_path / f"{name}.pem").write_bytes(ca.certificate_pem)
        (tmp_path / f"{name}.key").write_text("a key")
    environ = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "BIN": str(Path(sys.executable).parent),
        "NOTES": str(tmp_path / "notes"),
        "VOLUMES": str(tmp_path / "volumes"),
        "SECRETS": str(tmp_path / "deploy"),
        "STICK": str(stick),
        "HOLDER": str(holder),
        "REALM": "test-boxes",
        "REGISTRY_AT": "registry.example:7443",
        "REGISTRY_PUBLIC_AT": "registry.example:7444",
        "NODE_AT": "node-31.example:8453",
        "ROOT_FINGERPRINT": f"sha256:{'0' * 64}",
    }
    section = SECTION.search((ROOT / "docs/operating.md").read_text(encoding="utf-8"))
    assert section is not None
    for step in BLOCK.findall(section[1]):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if "trust-registry init" in step:  # the holders sign, at home
            for name in ("root-1", "root-2", "operator-1", "operator-3"):
                key = holder / name / f"{name}.key"
                signing = ("--key", key, "--passphrase-file", passphrase, "--yes")
                run_to_end("trust_registry", "sign", stick / "founding.json", *signing)
    return tmp_path


def listeners(table: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from listeners(value, f"{prefix}{name}.")
        elif name.endswith("listen"):
            yield f"{prefix}{name}", value


@pytest.mark.parametrize("service", sorted(CONFIGURATION))
def test_what_must_be_reached_is_reached_and_nothing_else(machine: Path, service: str) -> None:
    """Every listener is published, metrics and the issuer's on loopback alone: an address in the container is not."""
    folder = machine / "volumes" / service / service
    configuration = tomllib.loads((folder / CONFIGURATION[service]).read_text())
    compose = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")["services"][service]
    assert compose["command"][-1] == f"/data/{service}"
    published = {}
    for port in compose["ports"]:
        address, outside, inside = f"0.0.0.0:{port}".split(":")[-3:]
        assert outside == inside
        published[inside] = address
    found = dict(listeners(configuration))
    assert {address.split(":")[0] for address in found.values()} == {"0.0.0.0"}
    assert {address.split(":")[1] for address in found.values()} == set(published)
    for name, address in found.items():
        loopback = name in {"metrics.listen", "issuer_listen"}
        assert published[address.split(":")[1]] == ("127.0.0.1" if loopback else "0.0.0.0"), name


def test_services_call_themselves_what_others_reach(machine: Path) -> None:
    """0.0.0.0 is in no published file: the registry and the node are named by their endpoints."""
    founding = (machine / "stick/founding.json").read_text()
    assert "0.0.0.0" not in founding
    node = tomllib.loads((machine / "volumes/node/node/node.toml").read_text())
    assert node["endpoint"] == "node-31.example:8453"
    assert "0.0.0.0" not in (machine / "volumes/node/node/request.json").read_text()


def test_the_nodes_passphrase_is_a_secret_of_compose(machine: Path) -> None:
    """It is a file for the service's user alone, and where node.toml looks for it."""
    compose = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")
    assert compose["services"]["node"]["secrets"] == ["node-passphrase"]
    assert compose["secrets"]["node-passphrase"]["file"] == "./node-passphrase"
    secret = machine / "deploy/node-passphrase"
    assert secret.stat().st_mode & 0o777 == 0o600
    node = tomllib.loads((machine / "volumes/node/node/node.toml").read_text())
    assert node["keys"]["passphrase_file"] == str(secret)


def test_services_start_in_an_order_in_which_each_has_what_it_needs(machine: Path) -> None:
    """The registry serves once the realm is founded, before the node asks to join; all start after it is admitted."""
    noted = [line for line in (machine / "notes").read_text().splitlines() if not line.startswith("install ")]
    assert noted == [
        "build",
        "up --detach --wait registry",
        "exec registry trust-registry fingerprint --dir /data/registry",
        "run --rm node province-node join --dir /data/node --bundle /stick/bundle.json",
        "exec registry trust-registry approve 31 --dir /data/registry --key /stick/operator-1.key",
        "up --detach --wait",
    ]


def test_tls_files_are_in_the_volumes_and_no_key_stays_on_the_stick(machine: Path) -> None:
    """What the configurations name is there; keys of services, of the CA and of an operator are not left behind."""
    for service, path in CONFIGURATION.items():
        folder = machine / "volumes" / service / service
        tls = tomllib.loads((folder / path).read_text())["tls"]
        assert all((folder / tls[name]).is_file() for name in ("certificate", "private_key", "ca"))
    assert list((machine / "deploy/stick").glob("*.key")) == []
    assert (machine / "holder/registry-ca.key").is_file()
