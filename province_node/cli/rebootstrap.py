"""`province-node rebootstrap`: adopting the root of a new bootstrap."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.adoption import adopt, fingerprint_option, name_root
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.rpc.certificate import load_ca
from healthcode.rpc.source import connect_source, open_mirrors
from province_node.cli.option import dir_option
from province_node.settings import NodeFolder, load_node_settings

__all__ = ["rebootstrap"]


@click.command(
    cls=Command,
    examples="""
    # as the key holders read it out to you, over a line that you trust
    province-node rebootstrap --dir node-31 --root-fingerprint "7f3a 9c21 …"
    """,
)
@dir_option("The node's folder.")
@fingerprint_option
@json_option
def rebootstrap(root: Path, fingerprint: str, as_json: bool) -> None:
    """Adopt the root of a new bootstrap, which the root in force did not sign; a running node follows at once.

    Needed once, when the log says ROOT_REPLACED and the key holders announced a new
    bootstrap. All else is verified as ever: nothing goes back a version, and what is revoked
    stays revoked. Whatever is refused leaves the node as it was.
    """
    settings = load_node_settings(root)
    registry = settings.registry
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca)) as source:
        mirrors = open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca)
        result = adopt(settings.trust.folder, (source, *mirrors), fingerprint)
    result["configuration"] = name_root(
        NodeFolder(root).configuration, registry.root_fingerprint, fingerprint
    )
    print_result(result, as_json=as_json, table=details)
