"""deploy/Dockerfile, compose.yaml, prometheus.yaml: held by linters, schemas and each other. No image is built."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
CONFIGURATION = {"registry": "registry.toml", "node": "node.toml", "gateway": "gateway.toml"}


def load(name: str) -> Any:
    return YAML(typ="safe").load(DEPLOY / name)


def settings(service: str) -> dict[str, Any]:
    return tomllib.loads((DEPLOY / CONFIGURATION[service]).read_text())


def pins(path: Path) -> dict[str, set[str]]:
    """Each pinned requirement of a lock file with its hashes."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if pinned := re.match(r"^([a-z0-9][a-z0-9._-]*==\S+)", line):
            name = pinned[1]
            found[name] = set()
        found.get(name, set()).update(re.findall(r"sha256:[0-9a-f]{64}", line))
    return found


def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile follows the linter's rules, without an exception."""
    done = subprocess.run(
        [BIN / "hadolint", "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_holds_to_its_specification() -> None:
    """compose.yaml is valid under the schema of the compose specification."""
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_schema_would_find_an_error(tmp_path: Path) -> None:
    """The check above can fail: a misspelt key is found."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("    command:", "    comand:"))
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1


@pytest.mark.parametrize("service", sorted(CONFIGURATION))
def test_compose_runs_commands_of_ours(service: str) -> None:
    """Each serves its folder below /data, and is asked for its health, with a console script of the package."""
    container = load("compose.yaml")["services"][service]
    program, *arguments = container["command"]
    assert program in {script.name for script in entry_points(group="console_scripts")}
    # below /data: `restore` and `rebuild` rename the folder, which cannot be done to a mount
    assert arguments == ["serve", "--dir", f"/data/{service}"]
    assert container["healthcheck"]["test"] == ["CMD", program, "health", "--dir", f"/data/{service}"]


@pytest.mark.parametrize("service", sorted(CONFIGURATION))
def test_containers_are_locked_down(service: str) -> None:
    """No capability, no new privilege, nothing writable but its own folder and /tmp, time to drain."""
    container = load("compose.yaml")["services"][service]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["tmpfs"] == ["/tmp"]
    assert container["stop_grace_period"] == "45s"


def test_the_image_does_not_run_as_root() -> None:
    """The last USER is a number other than 0."""
    users = re.findall(r"^USER (\d+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert users
    assert users[-1] != "0"


def test_the_image_takes_sources_alone() -> None:
    """Everything is left out of the build but what the package is made of: keys above all."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert taken == {
        "healthcode", "trust_registry", "province_node", "gateway",
        "deploy/requirements.lock", "pyproject.toml", "README.md", "LICENSE",
    }  # fmt: skip
    assert all((ROOT / name).exists() for name in taken)


def test_what_is_deployed_is_what_was_tested() -> None:
    """The deployment's lock is a part of the lock that tests run with: the same versions, the same hashes."""
    tested, deployed = pins(ROOT / "requirements.lock"), pins(DEPLOY / "requirements.lock")
    assert deployed
    assert {name: hashes for name, hashes in tested.items() if name in deployed} == deployed
    assert not any(name.startswith(("pytest==", "ruff==", "hadolint")) for name in deployed)


def test_what_builds_the_package_has_a_hash_too() -> None:
    """The deployment's lock has the build tools, and nothing that installs the package fetches others."""
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    names = {re.split(r"[^a-z]", each)[0] for each in required}
    assert names <= {pin.split("==")[0] for pin in pins(DEPLOY / "requirements.lock")}
    pages = [DEPLOY / "Dockerfile", *(ROOT / "docs").glob("operating*.md")]
    installs = [
        line
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if "--no-deps ." in line
    ]
    assert len(installs) == 5
    assert all("--no-build-isolation" in line for line in installs)


@pytest.mark.parametrize("service", sorted(CONFIGURATION))
def test_what_is_carried_reaches_each_container(service: str) -> None:
    """The page's commands name files below /stick, also in a service that runs already."""
    assert "./stick:/stick" in load("compose.yaml")["services"][service]["volumes"]


def test_prometheus_scrapes_where_metrics_are_served() -> None:
    """The targets are the [metrics] listeners of the three configurations."""
    (job,) = load("prometheus.yaml")["scrape_configs"]
    targets = {target for group in job["static_configs"] for target in group["targets"]}
    assert targets == {settings(service)["metrics"]["listen"] for service in CONFIGURATION}
