"""`fingerprint`: prints the fingerprints of the roots."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.verify.roots import root_fingerprint, spoken_fingerprint
from trust_registry.cli.option import dir_option, open_reading

__all__ = ["fingerprint"]


@click.command(cls=Command, examples="trust-registry fingerprint --dir registry")
@dir_option
@json_option
def fingerprint(folder: Path, as_json: bool) -> None:
    """Print the fingerprint of each root; a node's trust folder begins with one of them.

    `read_out` is the newest one in groups of digits, to read out by telephone. If root was restarted,
    `began_anew` names the first root that a trust folder can begin with.
    """
    registry = open_reading(folder)
    tree = registry.repository.tree
    found = {
        f"root_{version}": root_fingerprint(tree.read(metadata_file("root", version)))
        for version in range(1, tree.root_version() + 1)
    }
    found["read_out"] = spoken_fingerprint(found[f"root_{tree.root_version()}"])
    if restarts := bootstraps_in(registry.repository.published().root.signed):
        found["began_anew"] = f"root_{max(map(int, restarts))}"
    print_result(found, as_json=as_json, table=details)
