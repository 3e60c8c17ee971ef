"""Runs every command block of docs/operating.md, in order, in a throwaway realm.

The shell and the services are real; a script named `systemctl` starts them, and commands are forked (tests/simulator/fork_server.py).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.simulator.fork_server import start_fork_server, write_scripts
from tests.simulator.process import free_ports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operating.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_SYSTEMCTL = """\
#!/bin/bash
# starts a service as its unit would, and waits until it listens; stops it, and waits until it is gone
set -euo pipefail
if [ "$1 $2" = "enable --now" ]; then set -- start "$3"; fi
if [ "$1" != start ]; then
    kill -TERM "$(cat "$LOGS/$2.pid")"
    while kill -0 "$(cat "$LOGS/$2.pid")" 2>/dev/null; do sleep 0.1; done
    if [ "$1" = stop ]; then exit 0; fi
fi
case "$2" in
    trust-registry) folder=$REGISTRY address=$REGISTRY_AT ;;
    healthcode-gateway) folder=$GATEWAY address=$GATEWAY_AT ;;
    province-node) folder=$NODE address=$NODE_AT ;;
esac
# a restored registry waits for reports: here, nodes report each five seconds
if [ "$2" = trust-registry ]; then
    grep -q report_seconds "$folder/registry.toml" || sed -i 's/^.repository.$/&\\nreport_seconds = 5.0/' "$folder/registry.toml"
fi
"$2" serve --dir "$folder" > "$LOGS/$2.log" 2>&1 &
echo $! | tee "$LOGS/$2.pid" >> "$LOGS/pids"
for attempt in $(seq 1200); do
    if (exec 3<>"/dev/tcp/${address%:*}/${address#*:}") 2>/dev/null; then exit 0; fi
    sleep 0.1
done
cat "$LOGS/$2.log" >&2
exit 4
"""


def free_address() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The variables that the page asks its reader to set, and our commands first on the PATH."""
    scripts, logs = tmp_path / "bin", tmp_path / "logs"
    for folder in (scripts, logs, tmp_path / "stick", tmp_path / "holder"):
        folder.mkdir()
    address = tmp_path / "forks"
    write_scripts(scripts, address)
    (scripts / "systemctl").write_text(_SYSTEMCTL)
    (scripts / "systemctl").chmod(0o755)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase for a rehearsal")
    passphrase.chmod(0o600)
    another = tmp_path / "another"
    another.write_text("another one, for a rehearsal")
    another.chmod(0o600)
    server = start_fork_server(address)
    try:
        yield {
            **os.environ,
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "LOGS": str(logs),
            "REALM": "test-rehearsal",
            "REGISTRY": str(tmp_path / "registry"),
            "NODE": str(tmp_path / "node"),
            "GATEWAY": str(tmp_path / "gateway"),
            "TRUST": str(tmp_path / "trust"),
            "HOLDER": str(tmp_path / "holder"),
            "AUTHORITY": str(tmp_path / "authority-31"),
            "STICK": str(tmp_path / "stick"),
            "REGISTRY_AT": free_address(),
            "REGISTRY_PUBLIC_AT": free_address(),
            "GATEWAY_AT": free_address(),
            "NODE_AT": free_address(),
            "NODE_ISSUER_AT": free_address(),
            "REGISTRY_METRICS_AT": free_address(),
            "NODE_METRICS_AT": free_address(),
            "GATEWAY_METRICS_AT": free_address(),
            "KEYBOARD": f"--passphrase-file {passphrase}",
            "NEW_KEYBOARD": f"--new-passphrase-file {another}",
            "YES": "--yes",
            "SURE": "--realm test-rehearsal",
            "WEAK": "--development",
            "NODE_TLS": "--development",
            "LABORATORY": str(tmp_path / "laboratory"),
            "LABORATORY_TLS": f"--development {tmp_path / 'laboratory'}",
            "NO_COLOR": "1",
            "COLUMNS": "300",
        }
    finally:
        for line in (logs / "pids").read_text().split() if (logs / "pids").exists() else ():
            try:
                os.kill(int(line), signal.SIGTERM)
            except ProcessLookupError:
                continue
        server.terminate()
        server.wait()


def as_script() -> str:
    """All blocks as one script, which names the line of a block that fails."""
    text = PAGE.read_text(encoding="utf-8")
    parts = ["set -Eeuo pipefail", "trap 'echo \"operating.md, block at line $AT: $BASH_COMMAND\" >&2' ERR"]
    for found in BLOCK.finditer(text):
        parts.append(f"AT={text.count(chr(10), 0, found.start()) + 1}")
        parts.append(found[1])
    return "\n".join(parts)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_command_of_the_page_works_in_its_order(
    surroundings: Mapping[str, str], tmp_path: Path
) -> None:
    """Every command of docs/operating.md works in its order, from the first key to a lost authority."""
    script = tmp_path / "operating.sh"
    script.write_text(as_script())
    done = subprocess.run(
        ["bash", str(script)],
        env=dict(surroundings),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    # near its end the page has a node that says that the new authority waits, and all that adopted a new root
    assert "AUTHORITY_WAITS" in done.stdout
    # `check` after the operators' yes and before the first start knows what the folder does not say yet
    assert "admitted since, as the registry says" in done.stdout
    assert done.stdout.count("read back") == 3
