"""The text that `--keep` prints: where everything is, and commands to try."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from examples.demo.federation import PARTICIPANTS, Federation
from examples.demo.process import COMMANDS


def invitation(federation: Federation, code: str, console: Console) -> None:
    """Shows how to call the running federation, and how to stop it."""
    root, ports = federation.root, federation.ports
    node = root / "node-44"
    lines = [
        ("registry", f"127.0.0.1:{ports.registry} (mTLS), {ports.registry_public} (joining and reading)"),
        ("gateway", f"127.0.0.1:{ports.gateway}"),
        *(
            (
                f"{participant} {PARTICIPANTS[participant]}",
                f"127.0.0.1:{ports.node[participant]}, issuers {ports.issuer[participant]}",
            )
            for participant in federation.participants
        ),
    ]
    where = "\n".join(f"{name:<26}{address}" for name, address in lines)
    console.print(Panel(escape(where), title=f"Up, in {root}", expand=False))
    tls = federation.credentials("44", "integrator")
    commands = {
        "Verify a code at Guangdong, with the command …": (
            f"{COMMANDS}/province-node verify --dir {node} --place STATION {federation.root}/code.png"
        ),
        "… offline, with the trust that Guangdong holds": (
            f"{COMMANDS}/healthcode verify --trust {node}/trust --place STATION {federation.root}/code.png"
        ),
        "… or with grpcurl": (
            f"grpcurl -cacert {tls.ca} -cert {tls.certificate} -key {tls.key} -authority province-44.healthcode "
            f'-max-time 5 -d \'{{"item": {{"code": "{code}", "place_type": "PLACE_TYPE_STATION"}}}}\' '
            f"127.0.0.1:{ports.node['44']} healthcode.v1.ProvinceNodeService/Verify"
        ),
        "Ask Shanghai for its present word": f"{COMMANDS}/province-node query --dir {node} --mode LIVE --place STATION {federation.root}/code.png",
        "Issue, revoke, look": f"{COMMANDS}/province-node --help",
        "The registry's view": f"{COMMANDS}/trust-registry status --dir {federation.registry}",
        "Stop everything and remove the folder": f"{sys.executable} -m examples.demo --stop {root}",
    }
    for what, command in commands.items():
        console.print(f"[bold]{what}[/]")
        console.print(f"  {escape(command)}", soft_wrap=True, highlight=False)
