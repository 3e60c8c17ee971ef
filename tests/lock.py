"""Fails when requirements.lock names a download address, or lacks a hash, or a range it should meet."""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)


def faults() -> list[str]:
    """Each thing that is wrong with the lock, in words."""
    text = (ROOT / "requirements.lock").read_text()
    pins = {name.lower().replace("_", "-"): version for name, version in PIN.findall(text)}
    found = []
    if "://" in text:
        found.append("requirements.lock names a download address; run `make lock`")
    entries = re.split(r"\n(?=\S)", text)
    found += [
        f"{entry.split()[0]} has no hash"
        for entry in entries
        if PIN.match(entry) and "--hash=sha256:" not in entry
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    for requirement in map(Requirement, wanted):
        version = pins.get(requirement.name.lower().replace("_", "-"))
        if version is None or not requirement.specifier.contains(version):
            found.append(f"{requirement} is not met by the lock ({version}); run `make lock`")
    return found


if __name__ == "__main__":
    problems = faults()
    sys.stdout.write("\n".join(problems) or "the lock meets every range, with hashes and without addresses")
    sys.exit(bool(problems))
