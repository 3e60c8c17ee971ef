"""Runs the block "Once, as root, on each machine" of docs/operating.md under another root folder.

Commands that change the whole machine are checked instead: their options, and the names that the unit uses.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.deploy.stand_ins import INSTALL, NOTE

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "province-node.service"
BLOCK = re.compile(r"^```sh\n(SERVICE=province-node .*?)^```$", re.MULTILINE | re.DOTALL)


def block() -> str:
    found = BLOCK.search((ROOT / "docs" / "operating.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def test_the_set_up_for_systemd_does_what_the_unit_needs(tmp_path: Path) -> None:
    """User, empty folder, passphrase of mode 0600 and the unit come to where the unit looks for them."""
    scripts, notes = tmp_path / "bin", tmp_path / "notes"
    scripts.mkdir()
    for name, text in {"systemd-sysusers": NOTE, "systemctl": NOTE, "install": INSTALL}.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    for name in ("etc/systemd/system", "var/lib"):
        (tmp_path / name).mkdir(parents=True)
    here = re.sub(r"(?<=[\s\"])/(etc|var)/", rf"{tmp_path}/\1/", block())
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
    assert (made.strip(), reloaded) == ("systemd-sysusers", "systemctl daemon-reload")
    (user,) = re.findall(
        r"^u (\S+) ", (tmp_path / "etc/sysusers.d/healthcode.conf").read_text(), re.MULTILINE
    )
    assert user == unit["User"] == unit["Group"]
    folder = tmp_path / "var/lib" / unit["StateDirectory"]
    assert given == f"install -d -o {user} -g {user} -m 0700 {folder}"
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
