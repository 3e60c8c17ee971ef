"""Runs the block “In containers” of docs/operating.md with a `docker` that runs each command here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from healthcode.rpc.mtls.development_ca import make_ca
from tests.simulator.process import run_to_end
from tests.world.clock import NOW

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(docker compose .*?)^```$", re.MULTILINE | re.DOTALL)
CONFIGURATION = {"registry": "registry.toml", "node": "node.toml", "gateway": "gateway.toml"}

_DOCKER = """\
#!/bin/bash
# `docker compose -f FILE run --rm --volume A:/stick SERVICE COMMAND…` runs the command here; all else is noted
set -euo pipefail
if [ "$1 $2 $4" != "compose -f run" ]; then echo "$*" >> "$NOTES"; exit 0; fi
[ "$5 $6" = "--rm --volume" ]
stick=${7%:/stick} service=$8
shift 8
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
    stick, scripts = tmp_path / "stick", tmp_path / "bin"
    for folder in (stick, scripts, tmp_path / "deploy"):
        folder.mkdir()
    for name, text in {"docker": _DOCKER, "chown": "#!/bin/bash\n"}.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase for a rehearsal")
    passphrase.chmod(0o600)
    for kind in ("root", "operator"):
        for number in (1, 2, 3):
            run_to_end(
                *(
                    "trust_registry",
                    "key",
                    "new",
                    kind,
                    "--realm",
                    "test-boxes",
                    "--name",
                    f"{kind}-{number}",
                ),
                *("--out", stick, "--passphrase-file", passphrase, "--development"),
            )
    for name in ("registry-ca", "sh-ca"):
        (stick / f"{name}.pem").write_bytes(make_ca(name, days=10, now=NOW).certificate_pem)
    found = BLOCK.search((ROOT / "docs/operating.md").read_text(encoding="utf-8"))
    assert found is not None
    environ = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "BIN": str(Path(sys.executable).parent),
        "NOTES": str(tmp_path / "notes"),
        "VOLUMES": str(tmp_path / "volumes"),
        "SECRETS": str(tmp_path / "deploy"),
        "STICK": str(stick),
        "REALM": "test-boxes",
        "REGISTRY_AT": "registry.example:7443",
        "REGISTRY_PUBLIC_AT": "registry.example:7444",
        "NODE_AT": "node-31.example:8453",
        "ROOT_FINGERPRINT": f"sha256:{'0' * 64}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", found[1]],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built, up = (tmp_path / "notes").read_text().splitlines()
    assert (built, up) == (
        "compose -f deploy/compose.yaml build",
        "compose -f deploy/compose.yaml up --detach --wait",
    )
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
