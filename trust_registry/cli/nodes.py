"""`nodes`: shows which nodes lag behind the published files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import EXIT_UNAVAILABLE, Command, exit_with, json_option, print_result, rows
from healthcode.clock import rfc3339
from trust_registry.cli.health import is_serving
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.monitoring.node_lag import Lag, NodeLag
from trust_registry.monitoring.status import describe_node, nodes_of
from trust_registry.monitoring.waiting_authorities import waiting_authorities
from trust_registry.proposals.retirement import retirements_of

__all__ = ["nodes"]


_CLOCK_STATES = frozenset({Lag.CLOCK_AHEAD.value, Lag.CLOCK_BEHIND.value})


@click.command(
    cls=Command,
    examples="""
    trust-registry nodes --dir registry
    trust-registry nodes --dir registry --json
    """,
)
@dir_option
@json_option
def nodes(folder: Path, as_json: bool) -> None:
    """Show the state of each node and the gateway: CURRENT, LAGGING and since when, UNKNOWN (silent), or a wrong clock.

    CLOCK_AHEAD and CLOCK_BEHIND: its clock is off by clock_offset_seconds, more than the policy's skew. Its
    operators set it; a node issues nothing until then.

    AUDIT_FORK, AUDIT_RESTARTED, AUDIT_UNPROVED: what a node has against the audit log of a province, by its own report.

    Ends with 4 if the registry does not serve: no node can report then, and all are UNKNOWN since
    their last report.
    """
    registry = open_reading(folder)
    published = registry.repository.published()
    serving = asyncio.run(is_serving(registry.settings))
    found = nodes_of(registry, published)
    if not serving:
        found = [_unheard(each) for each in found]
    lines = [describe_node(each, published) for each in found]
    data = {
        "serving": serving,
        "timestamp_version": published.versions.timestamp,
        "snapshot_version": published.versions.snapshot,
        "nodes": lines,
        "ahead": [
            *map(str, waiting_authorities(registry, published, registry.clock.now())),
            *(
                f"{code} leaves: it signs until {rfc3339(each.signs_until)}, its codes end by {rfc3339(each.codes_until)}"
                for code, each in sorted(retirements_of(published).items())
                if code in published.members
            ),
        ],
    }
    print_result(data, as_json=as_json, table=_tell)
    if not serving:
        last = max((each.report.received for each in found if each.report is not None), default=None)
        since = "no node has reported yet" if last is None else f"the last report is of {rfc3339(last)}"
        click.echo(
            f"warning: no process serves {folder}, so no node can report ({since}): run `trust-registry serve`",
            err=True,
        )
        exit_with(EXIT_UNAVAILABLE)


def _unheard(each: NodeLag) -> NodeLag:
    """A node while the registry does not serve: UNKNOWN since its last report."""
    since = None if each.report is None else each.report.received
    return replace(each, state=Lag.UNKNOWN, since=since, behind=())


def _tell(data: Mapping[str, Any]) -> Group:
    columns = (
        "node",
        "title",
        "state",
        "since",
        "lag_seconds",
        "clock_offset_seconds",
        "reported",
        "software",
    )
    lines = [{name: line.get(name) for name in columns} for line in data["nodes"]]
    reported = [line for line in data["nodes"] if "reported" in line]
    parts: list[RenderableType] = [
        rows(columns, lines),
        rows(
            (
                "node",
                "root_version",
                "policy_version",
                "areas_version",
                "policy_format",
                "areas_format",
                "snapshot_version",
                "earliest_expiry",
            ),
            reported,
            title="What each decides with, by its own report",
            empty="no node has reported yet",
        ),
    ]
    parts += [
        Text(f"{line['node']} decides with {', '.join(line['behind'])}", style="yellow")
        for line in data["nodes"]
        if line["behind"]
    ]
    parts += [
        Text(
            f"{line['node']}: its clock is {abs(line['clock_offset_seconds'])} s "
            f"{'ahead' if line['clock_offset_seconds'] > 0 else 'behind'}: its operators set it",
            style="bold red",
        )
        for line in data["nodes"]
        if line["state"] in _CLOCK_STATES
    ]
    parts += [
        Text(f"{line['node']}: {line['ahead']}", style="bold red")
        for line in data["nodes"]
        if "ahead" in line
    ]
    parts += [
        Text(
            f"{line['node']} has {alarm['alarm']} against the audit log of {alarm['participant']}, "
            f"since {alarm['since']}: call that province",
            style="bold red",
        )
        for line in data["nodes"]
        for alarm in line.get("audit_alarms", ())
    ]
    parts += [Text(what, style="yellow") for what in data["ahead"]]
    return Group(*parts)
