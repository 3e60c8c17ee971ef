"""`province-node officer new`: an officer makes their own keys, on their own machine."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import CommandGroup, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.participant import check_member
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.realm import check_realm
from healthcode.rpc.mtls.certificate import alternative_names
from healthcode.rpc.mtls.certificate_request import make_certificate_request
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca, public_key_digest
from healthcode.settings import local_address
from healthcode.signing.ed25519 import PrivateKey, self_test
from healthcode.signing.plain_key import encode_plain_key
from province_node.cli.officer_folder import OFFICER_FILE, write_officer
from province_node.officers.officer_card import OfficerCard, card_digest, encode_card
from province_node.settings import NodeFolder, load_node_settings

__all__ = ["officer"]

_LEAF_DAYS = 365


@click.group(
    cls=CommandGroup,
    examples="province-node officer new officer-li --name li --realm cn --province 31 --node node.example:8454 --ca ca.pem",
)
def officer() -> None:
    """Make the keys of an officer. The authority appoints officers: `province-node authority officers`."""


@officer.command(
    examples="""
    province-node officer new officer-li --name li --realm cn --province 31 --node node.example:8454 --ca ca.pem
    # in a test realm: the node's development CA issues the certificate here
    province-node officer new officer-li --name li --development node-31
    """
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--name", required=True, help="The officer's name in certificate and officers file, such as li."
)
@click.option("--realm", help="cn, or test-… for a test realm.")
@click.option("--province", help="The participant's two digits, e.g. 31.")
@click.option("--node", metavar="HOST:PORT", help="The issuer listener of the province's node.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA of the province's certificates.",
)
@click.option(
    "--development",
    "node_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="For a test realm: the node's folder, whose CA issues the certificate here. Replaces the four options above.",
)
@json_option
def new(
    folder: Path,
    name: str,
    realm: str | None,
    province: str | None,
    node: str | None,
    ca: Path | None,
    node_folder: Path | None,
    as_json: bool,
) -> None:
    """Make an officer's folder: TLS key, certificate request, sign key, and card.json for the authority.

    Run it on the officer's own machine: the keys never leave it. The certificate alone permits nothing.
    """
    self_test()
    if (folder / OFFICER_FILE).exists():
        raise ConfigurationError(f"{folder} is an officer's folder already: choose another one")
    if node_folder is not None:
        if any(each is not None for each in (realm, province, node, ca)):
            raise click.UsageError("--development replaces --realm, --province, --node and --ca")
        settings = load_node_settings(node_folder)
        peer = PeerId(settings.realm, PeerKind.OFFICER, settings.participant, name)
        tls = NodeFolder(node_folder).tls
        if not (tls / "ca.key").exists():
            raise ConfigurationError(
                f"{tls} has no CA key: --development is for nodes that were made with it"
            )
        authority = CertifiedKey((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
        leaf = issue_leaf(authority, peer, days=_LEAF_DAYS, now=SystemClock().now())
        key_pem, address = leaf.key_pem, local_address(settings.issuer_listen)
        files = {"officer.pem": leaf.certificate_pem, "ca.pem": authority.certificate_pem}
    else:
        if realm is None or province is None or node is None or ca is None:
            raise click.UsageError("give --realm, --province, --node and --ca (or --development NODE)")
        check_realm(realm)
        check_member(realm, province)
        peer, address = PeerId(realm, PeerKind.OFFICER, province, name), node
        key_pem, csr = make_certificate_request(peer)
        files = {"officer.csr": csr, "ca.pem": load_ca(ca).encode()}
    sign_key = PrivateKey.generate()
    card = OfficerCard(
        realm=peer.realm,
        participant=peer.participant or "",
        name=name,
        spki_sha256=public_key_digest(key_pem),
        sign_key=sign_key.public,
    )
    files["card.json"] = encode_card(card)
    write_officer(folder, node=address, key_pem=key_pem, sign_key=encode_plain_key(sign_key), others=files)
    result = {
        "folder": str(folder),
        "officer": name,
        "certificate_for": alternative_names(peer),
        "card": str(folder / "card.json"),
        "card_digest": card_digest(card),
        "next": "give card.json to the authority, and read the card digest out to a key holder"
        if node_folder is not None
        else f"have the province's CA issue officer.pem for {folder / 'officer.csr'}; give card.json to the authority, and "
        "read the card digest out to a key holder",
    }
    print_result(result, as_json=as_json, table=details)
