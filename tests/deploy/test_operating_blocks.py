"""Runs the blocks of docs/operating.md that install, upgrade and read logs, under another root folder.

`python3`, `systemctl` and `journalctl` only note, or make what the next line needs: no network, no systemd.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.stand_ins import INSTALL, NOTE

ROOT = Path(__file__).parents[2]
PROGRAMS = ("healthcode", "trust-registry", "province-node", "healthcode-gateway")
SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_VENV = """\
#!/bin/bash
# `python3 -m venv FOLDER`: a folder with a pip and our programs, each of which notes that it was called
[ "$1 $2" = "-m venv" ] || exit 2
mkdir -p "$3/bin"
for name in pip PROGRAMS; do
    printf '#!/bin/bash\\necho "%s $(basename "$0") $*" >> "$NOTES"\\n' "$(basename "$3")" > "$3/bin/$name"
    chmod +x "$3/bin/$name"
done
"""
_JOURNAL = '#!/bin/bash\ncat "$JOURNAL"\n'

Run = Callable[[str], subprocess.CompletedProcess[str]]


def block(first: str) -> str:
    """The block of the page that begins with `first`."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    (found,) = (text for text in SH.findall(page) if text.startswith(first))
    return str(found)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a block in a machine of its own, below `tmp_path`."""
    scripts = tmp_path / "scripts"
    for folder in ("scripts", "opt", "usr/local/bin", "var/backups", "etc/credstore", "root"):
        (tmp_path / folder).mkdir(parents=True)
    texts = {
        "python3": _VENV.replace("PROGRAMS", " ".join(PROGRAMS)),
        "systemctl": NOTE,
        "install": INSTALL,
        "journalctl": _JOURNAL,
    }
    for name, text in texts.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    environ = {
        "PATH": f"{scripts}:{tmp_path}/usr/local/bin:{os.environ['PATH']}",
        "NOTES": str(tmp_path / "notes"),
        "JOURNAL": str(tmp_path / "journal"),
    }

    def run(text: str) -> subprocess.CompletedProcess[str]:
        here = re.sub(r"(?<![\w./])/(opt|usr|var|etc|root)/", rf"{tmp_path}/\1/", text)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", here],
            env=environ,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )

    return run


def test_a_version_is_installed_where_the_units_look_and_another_takes_its_place_and_goes(
    run: Run, tmp_path: Path
) -> None:
    """ExecStart's program is there; an upgrade checks with the new version before it is used; the way back is one link."""

    def in_use() -> str:
        return (tmp_path / "opt/healthcode").resolve().name

    run(block("VERSION=0.1.0"))
    assert in_use() == "healthcode-0.1.0"
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        found = re.search(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
        assert found is not None
        assert (tmp_path / found[1].lstrip("/")).is_file()
    run(block("VERSION=0.2.0"))
    assert in_use() == "healthcode-0.1.0"
    for others in ("# the registry's machine", "# the gateway's machine", "# a node's machine"):
        run(f"VERSION=0.2.0\n{block(others)}")
        assert in_use() == "healthcode-0.2.0"
        run(block("ln -sfn healthcode-0.1.0"))
        assert in_use() == "healthcode-0.1.0"
    registry, gateway, node = (
        f"--dir {tmp_path}/var/lib/{name}"
        for name in ("trust-registry", "healthcode-gateway", "province-node")
    )
    backups = f"{tmp_path}/var/backups"
    assert [line for line in (tmp_path / "notes").read_text().splitlines() if " pip " not in line] == [
        f"healthcode-0.1.0 trust-registry backup {registry} {backups}/registry-before-0.2.0.tar",
        f"healthcode-0.2.0 trust-registry check {registry}",
        "systemctl restart trust-registry",
        f"healthcode-0.2.0 trust-registry health {registry}",
        "systemctl restart province-node",
        f"healthcode-0.2.0 healthcode-gateway check {gateway}",
        "systemctl restart healthcode-gateway",
        f"healthcode-0.2.0 healthcode-gateway health {gateway}",
        "systemctl restart province-node",
        f"healthcode-0.1.0 province-node backup {node} {backups}/node-before-0.2.0.tar",
        f"healthcode-0.2.0 province-node check {node}",
        "systemctl restart province-node",
        f"healthcode-0.2.0 province-node health {node}",
        "systemctl restart province-node",
    ]


def test_a_new_passphrase_is_where_systemd_looks_before_the_service_starts_with_it(
    run: Run, tmp_path: Path
) -> None:
    """The credential is the very file that the command took as the new passphrase, and no other copy stays."""
    run(block("VERSION=0.1.0"))
    old = tmp_path / "etc/credstore/node-passphrase"
    old.write_text("the old one\n")
    old.chmod(0o400)
    run(
        "systemctl() { cp /etc/credstore/node-passphrase /root/when-started; }\n"
        'province-node() { cp /root/new-passphrase /root/taken; command province-node "$@"; }\n'
        + block("# a node; the registry the same")
    )
    new = old.read_text()
    assert len(new.strip()) == 32
    assert (tmp_path / "root/when-started").read_text() == new
    assert (tmp_path / "root/taken").read_text() == new
    assert old.stat().st_mode & 0o777 == 0o400
    assert not (tmp_path / "root/new-passphrase").exists()
    called = (tmp_path / "notes").read_text().splitlines()[-1]
    assert f"--passphrase-file {old} --new-passphrase-file {tmp_path}/root/new-passphrase" in called


if shutil.which("jq") is not None:  # elsewhere the page's filters are not tried

    def test_the_filters_of_the_log_find_what_they_say(run: Run, tmp_path: Path) -> None:
        """Among JSON lines and the one sentence of the start: errors, and each start."""
        lines = [
            {"event": "listening", "level": "info"},
            {"event": "publish_failed", "level": "warning"},
            {"event": "task_failed", "level": "error"},
        ]
        text = "the node of participant 31 is serving\n" + "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / "journal").write_text(text)
        _, errors, starts = (line for line in block("journalctl").splitlines() if not line.startswith("#"))
        assert [json.loads(line) for line in run(errors).stdout.splitlines()] == [lines[2]]
        assert [json.loads(line) for line in run(starts).stdout.splitlines()] == [lines[0]]
