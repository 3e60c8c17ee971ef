"""Runs the block "Once, as root, for a node" of docs/operating.md under another root folder.

Commands that change the whole machine are checked instead: their options, and the names that the unit uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "province-node.service"
BLOCK = re.compile(r"^```sh\n(useradd .*?)^```$", re.MULTILINE | re.DOTALL)

_NOTE = """\
#!/bin/bash
echo "$(basename "$0") $*" >> "$NOTES"
"""


def block() -> str:
    found = BLOCK.search((ROOT / "docs" / "operating.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def test_the_set_up_for_systemd_does_what_the_unit_needs(tmp_path: Path) -> None:
    """User, folder, passphrase of mode 0600 and the unit come to where the unit looks for them."""
    scripts, notes = tmp_path / "bin", tmp_path / "notes"
    scripts.mkdir()
    for name in ("useradd", "chown", "systemctl"):
        (scripts / name).write_text(_NOTE)
        (scripts / name).chmod(0o755)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    here = re.sub(r"(?<=\s)/(etc|var)/", rf"{tmp_path}/\1/", block())
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", here],
        env={"PATH": f"{scripts}:{os.environ['PATH']}", "NOTES": str(notes)},
        cwd=ROOT,
        check=True,
    )
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line)
    # the passphrase lies where the unit loads it from, for root alone
    passphrase = tmp_path / "etc/credstore" / unit["LoadCredential"]
    assert passphrase.stat().st_mode & 0o777 == 0o600
    assert passphrase.parent.stat().st_mode & 0o777 == 0o700
    assert len(passphrase.read_text().strip()) == 32
    assert (tmp_path / "etc/systemd/system" / UNIT.name).read_bytes() == UNIT.read_bytes()
    # the user and the folder are the unit's own
    made, reloaded, given = notes.read_text().splitlines()
    folder = f"/var/lib/{unit['StateDirectory']}"
    assert made.split()[-1] == unit["User"] == unit["Group"]
    assert f"--home-dir {tmp_path}{folder} " in made
    assert reloaded == "systemctl daemon-reload"
    assert given == f"chown -R {unit['User']}:{unit['Group']} {tmp_path}{folder}"
    # the options that are passed exist, wherever the programs do
    for words in (made.split(), given.split()):
        program = shutil.which(words[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
        if program is not None:
            known = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
            assert all(re.search(rf"{word}\b", known) for word in words if word.startswith("-")), known
