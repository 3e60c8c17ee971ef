"""`province-node init` makes a node's folder; `rebootstrap` adopts the root of a new bootstrap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from healthcode.cli.adoption import adopt, fingerprint_option, name_root
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.cli.parameter import metrics_option
from healthcode.clock import SystemClock
from healthcode.identity.participant import check_member
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.realm import check_realm
from healthcode.rpc.mtls.certificate import alternative_names
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.public_channel import trust_in
from healthcode.service.registry_source import connect_source, open_mirrors
from healthcode.signing.ed25519 import self_test
from province_node.cli.option import ask_passphrase, dir_option, passphrase_option
from province_node.keys.setup import CLIENT_NAME, CLIENTS, NodePlan, check_node_plan, create_node
from province_node.settings import METRICS_LISTEN, NodeFolder, load_node_settings

__all__ = ["init", "rebootstrap"]


@click.command(
    cls=Command,
    examples="""
    province-node init --dir node-31 --participant 31 --realm test-demo --registry 127.0.0.1:7402 \\
        --registry-ca registry/tls/ca.pem --root-fingerprint sha256:… --development
    # in production: the province's PKI issues certificates, systemd provides the passphrase
    province-node init --dir /var/lib/province-node --participant 31 --realm cn --registry registry.example:8444 \\
        --registry-ca registry-ca.pem --root-fingerprint sha256:… --tls-ca sh-ca.pem --credential node-passphrase
    """,
)
@dir_option("The node's folder; it is made if missing.")
@click.option("--participant", "code", required=True, help="Two digits, e.g. 31.")
@click.option("--realm", required=True, help="cn, or test-… for a test realm.")
@click.option("--registry", required=True, metavar="HOST:PORT", help="The registry's public listener.")
@click.option(
    "--registry-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="CA of its certificate.",
)
@click.option("--root-fingerprint", required=True, help="sha256:…, as the national key holders announced it.")
@click.option(
    "--listen", default="127.0.0.1:8453", show_default=True, help="For integrators and the gateway."
)
@click.option(
    "--issuer-listen", default="127.0.0.1:8454", show_default=True, help="For the province's back ends."
)
@click.option("--endpoint", help="Address at which the gateway reaches --listen, if different.")
@metrics_option(METRICS_LISTEN)
@click.option(
    "--tls-ca", type=click.Path(path_type=Path, dir_okay=False), help="CA of this province's certificates."
)
@click.option(
    "--credential",
    help="Name of the systemd credential with the passphrase that opens the keys when serving.",
)
@click.option(
    "--development", is_flag=True, help="For a test realm: make CA, certificates and passphrase here."
)
@passphrase_option
@json_option
def init(
    root: Path,
    code: str,
    realm: str,
    registry: str,
    registry_ca: Path,
    root_fingerprint: str,
    listen: str,
    issuer_listen: str,
    endpoint: str | None,
    metrics_listen: str | None,
    tls_ca: Path | None,
    credential: str | None,
    development: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a node's folder: configuration, online keys, certificates, and request.json for the authority."""
    self_test()
    check_realm(realm)
    check_member(realm, code)
    if not development and passphrase_file is None and credential is None:
        raise click.UsageError(
            "say where `serve` gets the passphrase of the keys: --passphrase-file or --credential"
        )
    plan = NodePlan(
        participant=code,
        realm=realm,
        registry_endpoint=registry,
        registry_ca=registry_ca,
        root_fingerprint=root_fingerprint,
        listen=listen,
        issuer_listen=issuer_listen,
        endpoint=endpoint,
        metrics_listen=metrics_listen,
        development=development,
        tls_ca=tls_ca,
        passphrase_file=passphrase_file,
        credential=credential,
    )
    check_node_plan(root, plan)
    passphrase = None if development else ask_passphrase(passphrase_file, "the online keys", new=True)
    create_node(root, plan, passphrase=passphrase, now=SystemClock().now())
    result = {
        "node": str(root),
        "participant": code,
        "realm": realm,
        "request": str(root / "request.json"),
        "certificates": {} if development else _wanted_certificates(plan),
        "next": "copy request.json to the authority's machine and run there: "
        "`province-node authority sign --dir AUTHORITY --request request.json --out bundle.json`",
    }
    print_result(result, as_json=as_json, table=_init_table)


def _wanted_certificates(plan: NodePlan) -> dict[str, str]:
    """The certificates that the province's PKI must issue: subject alternative names, by file."""
    peers = {"node": PeerId(plan.realm, PeerKind.PROVINCE, plan.participant)} | {
        name: PeerId(plan.realm, kind, plan.participant, CLIENT_NAME) for name, kind in CLIENTS.items()
    }
    return {f"tls/{name}.pem": alternative_names(peer) for name, peer in peers.items()}


def _init_table(data: dict[str, Any]) -> RenderableType:
    wanted = [f"{file}: {names}" for file, names in data["certificates"].items()]
    facts: dict[str, Any] = {**data, "certificates": "made here, for a test realm"}
    if wanted:
        facts["certificates"] = Text(
            "have your PKI issue these, and store each with its key (mode 0600) beside it:\n"
            + "\n".join(wanted)
        )
    return details(facts)


@click.command(
    cls=Command,
    examples="""
    # as the key holders read it out to you over a trusted line
    province-node rebootstrap --dir node-31 --root-fingerprint "7f3a 9c21 …"
    """,
)
@dir_option("The node's folder.")
@fingerprint_option
@json_option
def rebootstrap(root: Path, fingerprint: str, as_json: bool) -> None:
    """Adopt the root of a new bootstrap, which the root in force did not sign; a running node follows at once.

    Run it once, if the log says ROOT_REPLACED and the key holders have announced a new bootstrap.
    Everything else is still verified: no version goes back, and revoked codes stay revoked. If the
    new root is refused, the node does not change.
    """
    settings = load_node_settings(root)
    registry = settings.registry
    trust = trust_in(settings.trust.folder)
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca), trust=trust) as source:
        mirrors = open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca)
        result = adopt(settings.trust.folder, (source, *mirrors), fingerprint)
    result["configuration"] = name_root(
        NodeFolder(root).configuration, registry.root_fingerprint, fingerprint
    )
    print_result(result, as_json=as_json, table=details)
