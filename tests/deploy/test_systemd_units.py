"""deploy/systemd: units that parse, are hardened, and start what there is to start."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections import defaultdict
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))
CONFIGURATION = {
    "trust-registry.service": "registry.toml",
    "province-node.service": "node.toml",
    "healthcode-gateway.service": "gateway.toml",
}
ANALYZE = shutil.which("systemd-analyze")

HARDENED = {
    "CapabilityBoundingSet": [""],
    "LimitCORE": ["0"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "NoNewPrivileges": ["yes"],
    "PrivateDevices": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateUsers": ["yes"],
    "ProtectClock": ["yes"],
    "ProtectControlGroups": ["yes"],
    "ProtectHome": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectSystem": ["strict"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "RestrictNamespaces": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "StateDirectoryMode": ["0700"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "UMask": ["0077"],
}


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(unit: str) -> dict[str, list[str]]:
    """The [Service] settings of a unit; one that stands twice has two values."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in (SYSTEMD / unit).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif line and not line.startswith("#") and section == "[Service]":
            name, equals, value = line.partition("=")
            assert equals, line
            found[name].append(value)
    return found


def test_there_is_a_unit_for_each_service() -> None:
    """Nothing to run as a service lacks its unit, and no unit is left over."""
    assert set(UNITS) == set(CONFIGURATION)


def test_is_hardened(unit: str) -> None:
    """A service that is broken into can do little to the machine, and leaves no key in a core dump."""
    settings = read(unit)
    assert {name: settings[name] for name in HARDENED} == HARDENED


def test_memory_is_limited_as_in_a_container(unit: str) -> None:
    """A flood ends one service at most, and never the machine; it is slowed before it is killed, and started again."""
    settings = read(unit)
    assert (settings["MemoryHigh"], settings["MemoryMax"]) == (["1536M"], ["2G"])
    service = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")["services"]
    assert {each["mem_limit"] for each in service.values()} == {"2g"}


def test_starts_a_command_of_ours(unit: str) -> None:
    """ExecStart names a console script that the package installs, and its `serve`."""
    (command,) = read(unit)["ExecStart"]
    program, *arguments = command.split()
    assert Path(program).name in {script.name for script in entry_points(group="console_scripts")}
    assert Path(program).name == unit.removesuffix(".service")
    assert arguments[0] == "serve"


def test_does_not_restart_on_a_configuration_error(unit: str) -> None:
    """A wrong configuration is told once, not each two seconds; an unreachable registry is retried."""
    settings = read(unit)
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == ["2"]


def test_waits_longer_than_the_drain(unit: str) -> None:
    """Systemd does not kill a service that is still letting its calls end."""
    assert int(read(unit)["TimeoutStopSec"][0]) >= 40


def test_loads_the_credential_that_the_configuration_names(unit: str) -> None:
    """LoadCredential and [keys] credential are one name, in systemd's own store; the gateway has none, as no key."""
    configuration = tomllib.loads((ROOT / "deploy" / CONFIGURATION[unit]).read_text())
    loaded = read(unit)["LoadCredential"]
    named = [configuration["keys"]["credential"]] if "keys" in configuration else []
    assert loaded == named


if ANALYZE is not None:  # a part of systemd; elsewhere the tests above hold alone

    @pytest.fixture
    def runnable(unit: str, tmp_path: Path) -> Path:
        """The unit with a program that exists here, since the analyzer looks for it."""
        program = tmp_path / unit.removesuffix(".service")
        program.symlink_to("/bin/true")
        path = tmp_path / unit
        path.write_text(
            (SYSTEMD / unit).read_text().replace(f"/opt/healthcode/bin/{program.name}", str(program))
        )
        return path

    def test_systemd_takes_the_unit(runnable: Path) -> None:
        """`systemd-analyze verify` finds no unknown setting and nothing that it would ignore."""
        done = subprocess.run(
            [str(ANALYZE), "verify", "--man=no", str(runnable)], capture_output=True, text=True, check=False
        )
        ours = [line for line in done.stderr.splitlines() if runnable.name in line]
        assert (done.returncode, ours) == (0, [])

    def test_systemd_finds_little_exposed(runnable: Path) -> None:
        """`systemd-analyze security` rates the unit 2.0 or less (of 10; lower is better)."""
        done = subprocess.run(
            [str(ANALYZE), "security", "--offline=yes", "--threshold=20", "--no-pager", str(runnable)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout.splitlines()[-1:]
