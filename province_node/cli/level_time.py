"""`province-node level-time`: the time by which levels are derived, which a clock that was ahead has moved on."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.errors import UnavailableError
from healthcode.storage.lock import lock
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS
from healthcode.trust.store import TrustStore
from province_node.cli.option import confirm, dir_option, yes_option
from province_node.settings import NodeFolder, load_node_settings
from province_node.store.opening import open_store

__all__ = ["level_time"]


@click.command(
    "level-time",
    cls=Command,
    examples="""
    province-node level-time --dir node-31
    # after this machine's clock was ahead, with the clock right again and the node stopped
    province-node level-time --dir node-31 --set-back
    """,
)
@dir_option("The node's folder.")
@click.option("--set-back", is_flag=True, help="Set it back to signed time. The node must be stopped.")
@yes_option
@json_option
def level_time(root: Path, set_back: bool, yes: bool, as_json: bool) -> None:
    """Show the store's time beside the newest signed time in the trust folder; with --set-back, set it back.

    The store's time never goes back by itself. When it is set back, what was dated later gets the signed time as its
    date, and every level is derived again. Codes that were revoked stay revoked.
    """
    settings = load_node_settings(root)
    busy = UnavailableError(f"the node of {root} is running: stop it, and run this again")
    with lock(NodeFolder(root).serving, busy=busy, wait_seconds=1):
        signed = TrustStore.open(settings.trust.folder).view.timestamp_signed_at
        store = open_store(settings.database)
        try:
            kept = store.levels.latest_now()
            is_ahead = kept - signed > TOLERANCE_SECONDS
            if set_back and is_ahead:
                confirm(f"set the store's time back from {rfc3339(kept)} to {rfc3339(signed)}?", yes=yes)
                store.levels.set_back_now(signed)
        finally:
            store.close()
    if set_back and is_ahead:
        following = "start the node: it derives every level again"
    elif is_ahead:
        following = "if this machine's clock was ahead: set it, and add --set-back"
    else:
        following = "there is nothing to set back"
    result = {
        "store": rfc3339(kept) if kept else None,
        "signed": rfc3339(signed),
        "ahead_seconds": max(0, kept - signed),
        "set_back": set_back and is_ahead,
        "next": following,
    }
    print_result(result, as_json=as_json, table=details)
