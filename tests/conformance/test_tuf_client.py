"""tuf_client.py as a process, as the suite runs it: by its path, with the Python that comes first."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conformance import tuf_client
from tests.conformance.suite import Client, at
from tests.simulator.tuf_repository import TufRepository

CLIENT = Path(tuf_client.__file__)
FIRST = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]


def test_the_executable_speaks_the_suites_command_line(repository: TufRepository, client: Client) -> None:
    """As a process, by its path: 0 or 1, the files of the specification asked for once and in order."""
    repository.add_target("targets", "a/file.txt", b"content")
    assert subprocess.run([CLIENT, *client.words("refresh")], check=False).returncode == 0
    assert client.asked() == FIRST
    for role, file in (("timestamp", "timestamp"), ("snapshot", "1.snapshot"), ("targets", "1.targets")):
        assert (client.metadata / f"{role}.json").read_bytes() == repository.files[f"metadata/{file}.json"]
    assert client.versions() == at()
    done = subprocess.run([CLIENT, *client.download_words("a/file.txt")], check=False, capture_output=True)
    assert done.returncode == 1
    assert b"no role signs" in done.stderr
    repository.publish_all(root=False)
    assert subprocess.run([CLIENT, *client.download_words("a/file.txt")], check=False).returncode == 0
    assert client.downloaded() == [b"content"]


def test_the_table_of_cases_is_true() -> None:
    """Every case that README.md names is there."""
    folder = CLIENT.parent
    rows = re.findall(r"\| (test_\w+\.py) (test_\w+) \|", (folder / "README.md").read_text(encoding="utf-8"))
    assert len(rows) > 40
    for file, case in rows:
        assert f"def {case}(" in (folder / file).read_text(encoding="utf-8"), case
