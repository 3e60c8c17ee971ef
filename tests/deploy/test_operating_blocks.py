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
_NOTE = '#!/bin/bash\necho "$(basename "$0") $*" >> "$NOTES"\n'
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
    for folder in (scripts, tmp_path / "opt", tmp_path / "usr/local/bin", tmp_path / "var/backups"):
        folder.mkdir(parents=True)
    texts = {
        "python3": _VENV.replace("PROGRAMS", " ".join(PROGRAMS)),
        "systemctl": _NOTE,
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
        here = re.sub(r"(?<![\w./])/(opt|usr|var)/", rf"{tmp_path}/\1/", text)
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
    assert in_use() == "healthcode-0.2.0"
    folder = f"--dir {tmp_path}/var/lib/province-node"
    assert [line for line in (tmp_path / "notes").read_text().splitlines() if " pip " not in line] == [
        f"healthcode-0.1.0 province-node backup {folder} {tmp_path}/var/backups/node-before-0.2.0.tar",
        f"healthcode-0.2.0 province-node check {folder}",
        "systemctl restart province-node",
        f"healthcode-0.2.0 province-node health {folder}",
    ]
    run(block("ln -sfn healthcode-0.1.0"))
    assert in_use() == "healthcode-0.1.0"


if shutil.which("jq") is not None:  # elsewhere the page's filters are not tried

    def test_the_filters_of_the_log_find_what_they_say(run: Run, tmp_path: Path) -> None:
        """Among JSON lines and the one sentence of the start: errors, and what is about publishing."""
        lines = [
            {"event": "serving", "level": "info"},
            {"event": "publish_failed", "level": "warning"},
            {"event": "task_failed", "level": "error"},
        ]
        text = "the node of participant 31 is serving\n" + "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / "journal").write_text(text)
        _, errors, publishing = (
            line for line in block("journalctl").splitlines() if not line.startswith("#")
        )
        assert [json.loads(line) for line in run(errors).stdout.splitlines()] == [lines[2]]
        assert [json.loads(line) for line in run(publishing).stdout.splitlines()] == [lines[1]]
