"""`export`: writes the trust files as a mirror for any static server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import Command, details, json_option, print_json, print_result
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.mirror.export import Exported, export_tree, watch_tree

__all__ = ["export"]


@click.command(
    cls=Command,
    examples="""
    trust-registry export /srv/www/trust --dir registry
    # keep running and write at each publication; Ctrl-C ends it
    trust-registry export /srv/www/trust --dir registry --watch
    """,
)
@click.argument("target", metavar="MIRROR", type=click.Path(path_type=Path, file_okay=False))
@dir_option
@click.option("--watch", is_flag=True, help="Keep running, and write at each publication.")
@json_option
def export(target: Path, folder: Path, watch: bool, as_json: bool) -> None:
    """Write the trust files into MIRROR, for any static server or CDN: changed files only, the timestamp last."""
    registry = open_reading(folder)
    keep_seconds = registry.settings.repository.keep_superseded_seconds

    def tell(exported: Exported) -> None:
        data = _describe_export(exported)
        if watch and as_json:
            print_json(data)
        else:
            print_result(data, as_json=as_json, table=details)

    if not watch:
        tell(export_tree(registry.repository, target, keep_seconds=keep_seconds))
        return
    watch_tree(
        registry.repository,
        target,
        keep_seconds=keep_seconds,
        on_export=tell,
        on_error=lambda error: click.echo(f"not exported, will be tried again: {error.message}", err=True),
    )


def _describe_export(exported: Exported) -> dict[str, Any]:
    return {
        "written": exported.written,
        "removed": exported.removed,
        "timestamp_version": exported.timestamp_version,
        "snapshot_version": exported.snapshot_version,
        "root_version": exported.root_version,
    }
