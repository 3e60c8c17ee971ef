"""A trust folder, opened offline: what a node or an SDK decides with, network or not.

A folder begins with a root whose fingerprint somebody was told by a way they trust
(`init_trust`), never by trust on first use. `TrustStore.open` reads a generation and
verifies it from that root down to every province, without network; when the current one
is damaged, the one before serves, and says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from healthcode.errors import (
    ConfigurationError,
    DecodeError,
    HealthcodeError,
    NotFoundError,
    Reason,
    RefusedTrustError,
    TrustError,
)
from healthcode.trust.assembly import TrustState, assemble
from healthcode.trust.contact import Contact, read_contact
from healthcode.trust.document import Document, decode_document
from healthcode.trust.durable import replace_file
from healthcode.trust.generation import current_generation, generation_numbers, read_generation
from healthcode.trust.layout import TrustLimits, metadata_file
from healthcode.trust.metadata import realm_of
from healthcode.trust.national import root_fingerprint, verify_roots
from healthcode.trust.source import TrustSource
from healthcode.trust.view import TrustView

__all__ = ["Bootstrap", "TrustStore", "init_trust", "read_bootstrap"]

_LIMITS = TrustLimits()
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


class _TrustDocument(Document):
    format: Literal["healthcode/trust/1"] = "healthcode/trust/1"
    realm: str
    root_fingerprint: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The root that a folder was begun with."""

    realm: str
    fingerprint: str
    root: bytes


def init_trust(
    directory: Path | str,
    sources: TrustSource | Sequence[TrustSource],
    fingerprint: str,
    *,
    realm: str | None = None,
    limits: TrustLimits = _LIMITS,
) -> Bootstrap:
    """Begin a trust folder with the root that has this fingerprint, `sha256:<64 hex digits>` of its file.

    Doing it again with the same fingerprint changes nothing. Raises ConfigurationError for
    a malformed fingerprint, or a folder that was begun with another root; RefusedTrustError
    when no source serves such a root, or one of another realm; UnavailableError.
    """
    directory = Path(directory)
    if _FINGERPRINT.fullmatch(fingerprint) is None:
        raise ConfigurationError(
            "a root fingerprint is sha256: and 64 hex digits, as `trust-registry fingerprint` prints it"
        )
    if (directory / "trust.json").exists():
        found = read_bootstrap(directory, limits)
        if found.fingerprint != fingerprint:
            raise ConfigurationError(
                f"the trust folder {directory} was begun with root {found.fingerprint}; "
                "use another folder, or remove this one if it was a mistake"
            )
        return found
    several = tuple(sources) if isinstance(sources, Sequence) else (sources,)
    root = _find_in_any(several, fingerprint, limits)
    named = realm_of(verify_roots([root], limits)[0])
    if realm is not None and named != realm:
        raise RefusedTrustError(f"that root is of realm {named}, not {realm}", reason=Reason.REALM_MISMATCH)
    document = {"format": "healthcode/trust/1", "realm": named, "root_fingerprint": fingerprint}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace_file(directory / "root.json", root)
        replace_file(directory / "trust.json", json.dumps(document, indent=2).encode())
    except OSError as error:
        raise ConfigurationError(
            f"the trust folder {directory} cannot be written: {error.strerror}"
        ) from error
    return Bootstrap(named, fingerprint, root)


def _find_in_any(sources: Sequence[TrustSource], fingerprint: str, limits: TrustLimits) -> bytes:
    """The root, from the first source that has it: its fingerprint is proof enough."""
    first: HealthcodeError | None = None
    for source in sources:
        try:
            return _find_root(source, fingerprint, limits)
        except HealthcodeError as error:
            first = first or error
    raise first or ConfigurationError("there is no source to begin from: name one")


def _find_root(source: TrustSource, fingerprint: str, limits: TrustLimits) -> bytes:
    for version in range(1, limits.root_rotations + 1):
        try:
            root = source.fetch(metadata_file("root", version), limits.root_bytes)
        except NotFoundError:
            break
        if root_fingerprint(root) == fingerprint:
            return root
    raise RefusedTrustError(
        f"{source.name} serves no root with fingerprint {fingerprint}: either the fingerprint is "
        "mistyped, or this is not the registry you think it is"
    )


def read_bootstrap(directory: Path, limits: TrustLimits = _LIMITS) -> Bootstrap:
    """The root that `directory` was begun with.

    Raises ConfigurationError when it was never begun, TrustError when what it was begun
    with is damaged.
    """
    try:
        document = decode_document(_TrustDocument, (directory / "trust.json").read_bytes(), 65_536)
        root = (directory / "root.json").read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{directory} is no trust folder; begin one: healthcode trust init --dir {directory} "
            "--source URL --root-fingerprint sha256:…"
        ) from error
    except (OSError, DecodeError) as error:
        raise TrustError(f"the trust folder {directory} is damaged: {error}") from error
    if root_fingerprint(root) != document.root_fingerprint:
        raise TrustError(
            f"{directory}/root.json is damaged: its fingerprint is not the one it was begun with"
        )
    realm = realm_of(verify_roots([root], limits)[0])
    if realm != document.realm:
        raise TrustError(f"{directory}/trust.json is damaged: its root is of realm {realm}")
    return Bootstrap(document.realm, document.root_fingerprint, root)


class TrustStore:
    """A trust folder as it was when it was opened; `view` is what to verify with."""

    def __init__(
        self, directory: Path, state: TrustState, generation: int, warnings: tuple[str, ...]
    ) -> None:
        self.directory = directory
        self.state = state
        self.generation = generation
        self.warnings = warnings
        self._view = state.view

    @property
    def view(self) -> TrustView:
        """What the folder lets one believe."""
        return self._view

    def tell(self, contact: Contact | None) -> None:
        """Put into the view what the last contact said of this machine's clock."""
        if contact != self._view.contact:
            self._view = replace(self._view, contact=contact)

    @classmethod
    def open(cls, directory: Path | str, *, limits: TrustLimits = _LIMITS) -> TrustStore:
        """Open the newest generation that holds, verifying it whole, without network.

        Raises ConfigurationError when the folder was never begun, TrustError when no
        generation holds; `warnings` name what was damaged.
        """
        directory = Path(directory)
        bootstrap = read_bootstrap(directory, limits)
        current = current_generation(directory)
        found = generation_numbers(directory)
        # a generation newer than `current` was never finished; without `current` any may serve
        numbers = found if current is None else [number for number in found if number <= current]
        warnings: list[str] = []
        for number in numbers:
            try:
                files, read_list = read_generation(directory, number, bootstrap.root)
                state = assemble(files, read_list, limits)
            except HealthcodeError as error:
                warnings.append(f"generation {number} does not hold: {error.message}")
                continue
            if warnings:
                warnings.append(f"generation {number} serves in its place; refresh to repair the folder")
            store = cls(directory, state, number, tuple(warnings))
            store.tell(read_contact(directory, state.national.root, limits))
            return store
        if not warnings:
            raise TrustError(
                f"the trust folder {directory} was begun but never filled; run: healthcode trust sync"
            )
        raise TrustError(f"no generation in {directory} holds: {'; '.join(warnings)}")
