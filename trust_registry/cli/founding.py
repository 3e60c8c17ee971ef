"""Founding by cards and carried files, for `init` and `collect`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from healthcode.cli.console import print_result
from healthcode.clock import SystemClock
from trust_registry import founding
from trust_registry.basis import encode_carried
from trust_registry.ceremony import CeremonyPlan
from trust_registry.cli.carried import carried_from, describe_carried, describe_table
from trust_registry.durable import write_file
from trust_registry.folder import RegistryFolder
from trust_registry.holder import read_card

__all__ = ["begin_founding", "collect_founding", "tell_founding"]


def begin_founding(
    plan: CeremonyPlan, cards: Sequence[Path], folder: Path, out: Path | None
) -> dict[str, Any]:
    """Drafts the first root from the cards, and writes the file that is carried."""
    place = RegistryFolder(folder)
    carried = founding.prepare_founding(
        plan, [read_card(path, realm=plan.realm) for path in cards], place, SystemClock()
    )
    file = out or place.ceremony / "founding.json"
    if out is not None:
        write_file(out, encode_carried(carried))
    return {
        **describe_carried(carried),
        "file": str(file),
        "next": f"each holder: `trust-registry sign FILE --key KEY`; then here `trust-registry collect {file.name}`",
    }


def collect_founding(files: Sequence[Path], folder: Path) -> dict[str, Any] | None:
    """Takes signatures for a realm that is being founded; None when none is, in this folder."""
    place = RegistryFolder(folder)
    if not founding.is_being_founded(place):
        return None
    found = founding.collect_founding(place, [carried_from(str(path)) for path in files], SystemClock())
    data = {**describe_carried(found.carried), "taken": list(found.taken)}
    if found.fingerprint is not None:
        data |= {"state": "FOUNDED", "root_fingerprint": found.fingerprint}
        data["next"] = (
            "tell every node the root fingerprint, by a way of its own; carry tls/ca.key away; then `check` and `serve`"
        )
    return data


def tell_founding(folder: Path, *, as_json: bool) -> bool:
    """Tells who has signed, and who is missing, of a realm that is being founded in `folder`; False when none is."""
    place = RegistryFolder(folder)
    if not founding.is_being_founded(place):
        return False
    data = describe_carried(founding.open_founding(place))
    data |= {"state": "BEING FOUNDED", "file": str(place.founding), "next": founding.next_of(place)}
    print_result(data, as_json=as_json, table=describe_table)
    return True
