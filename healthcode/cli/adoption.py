"""Shared by the `rebootstrap` commands: adopts the root of a new bootstrap, and writes it into a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from healthcode.cli.parameter import FINGERPRINT
from healthcode.clock import SystemClock
from healthcode.storage.files import write_atomic
from healthcode.trust.adopt_root import adopt_root
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.roots import spoken_fingerprint

__all__ = ["adopt", "fingerprint_option", "name_root"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def fingerprint_option(function: _Function) -> _Function:
    """`--root-fingerprint` of a new bootstrap, passed as `fingerprint`."""
    return click.option(
        "--root-fingerprint",
        "fingerprint",
        type=FINGERPRINT,
        required=True,
        help="The new root's fingerprint, as the key holders read it out to you; spaces are allowed. Never copy it from "
        "this machine, a log or the registry: an attacker may have written it there.",
    )(function)


def adopt(folder: Path, sources: Sequence[TrustSource], fingerprint: str) -> dict[str, Any]:
    """Adopts the root and returns the result to print. Raises as `adopt_root` does."""
    done = adopt_root(folder, sources, fingerprint, SystemClock().now())
    view = done.refresh.view
    return {
        "folder": str(folder),
        "realm": view.realm,
        "root_fingerprint": done.fingerprint,
        "read_back": spoken_fingerprint(done.fingerprint),
        "root_before": done.before,
        "root_version": view.root_version,
        "adopted": "it was adopted before" if done.is_repeat else "now",
        "trust_version": view.snapshot_version,
        "issuers": sorted(view.issuers),
        "rejected": [f"{each.participant}: {each.message} ({each.reason})" for each in done.refresh.rejected],
    }


def name_root(configuration: Path, before: str, fingerprint: str) -> str:
    """Replaces the old fingerprint in a configuration. Returns a sentence that says what was done.

    A failure is no error: the trust folder knows both fingerprints, so a service starts with either.
    """
    if before == fingerprint:
        return f"{configuration.name} names it already"
    try:
        text, was = configuration.read_text(encoding="utf-8"), configuration.stat()
        write_atomic(configuration, text.replace(before, fingerprint).encode())
        configuration.chmod(was.st_mode & 0o777)
    except OSError as error:
        return f"write it into {configuration} as root_fingerprint yourself; this command could not: {error}"
    return f"{configuration.name} names it now"
