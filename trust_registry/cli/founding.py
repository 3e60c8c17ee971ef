"""Founding a realm by cards and carried files, for `init`, `collect`, `proposals` and `status`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from healthcode.cli.console import print_result
from healthcode.clock import SystemClock
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from trust_registry.cli.carried_proposal import describe_carried_proposal, read_carried_proposal
from trust_registry.cli.describe import describe_table
from trust_registry.founding.by_cards import (
    collect_signatures,
    is_being_founded,
    next_commands,
    prepare_founding,
    read_founding,
)
from trust_registry.founding.plan import FoundingPlan
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.in_force import encode_carried_proposal
from trust_registry.proposals.key_holders import read_card

__all__ = ["begin_founding", "collect_founding", "print_founding"]


def begin_founding(
    plan: FoundingPlan, cards: Sequence[Path], folder: Path, out: Path | None
) -> dict[str, Any]:
    """Drafts the first root from the cards, and writes the file to carry."""
    place = RegistryFolder(folder)
    carried = prepare_founding(
        plan, [read_card(path, realm=plan.realm) for path in cards], place, SystemClock()
    )
    file = out or place.founding
    if out is not None:
        with as_caller():
            save_file(out, encode_carried_proposal(carried))
    return {
        **describe_carried_proposal(carried),
        "file": str(file),
        "next": "each key holder runs `trust-registry sign FILE --key KEY`; then run "
        f"`trust-registry collect {file.name}` here",
    }


def collect_founding(files: Sequence[Path], folder: Path) -> dict[str, Any] | None:
    """Adds signatures to the founding in `folder`; None if there is none."""
    place = RegistryFolder(folder)
    if not is_being_founded(place):
        return None
    progress = collect_signatures(place, [read_carried_proposal(path) for path in files], SystemClock())
    data = {**describe_carried_proposal(progress.carried), "taken": list(progress.added)}
    if progress.fingerprint is not None:
        data |= {"state": "FOUNDED", "root_fingerprint": progress.fingerprint}
        data["next"] = (
            "tell every node the root fingerprint, by another way than the network; carry tls/ca.key away; "
            "then run `check` and `serve`"
        )
    return data


def print_founding(folder: Path, *, as_json: bool) -> bool:
    """Prints who has signed the founding in `folder` and who is missing; False if there is none."""
    place = RegistryFolder(folder)
    if not is_being_founded(place):
        return False
    data = describe_carried_proposal(read_founding(place))
    data |= {"state": "BEING FOUNDED", "file": str(place.founding), "next": next_commands(place)}
    print_result(data, as_json=as_json, table=describe_table)
    return True
