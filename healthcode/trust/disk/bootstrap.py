"""How a trust folder begins: with a root whose fingerprint somebody was told by a way they trust.

    DIR/trust.json    realm and fingerprint; then each root that a person adopted later
    DIR/root.json     the root that the folder was begun with
    DIR/roots/<hex>   those that were adopted later, by their SHA-256

`init_trust` begins a folder, never by trust on first use. Roots follow each other by
signature; only where root's own keys were lost does the realm begin anew with a root that
the one before did not sign, and only a person adopts it (rebootstrap.py). Replacing
trust.json is the write that makes either of them durable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from healthcode.errors import (
    ConfigurationError,
    DecodeError,
    Reason,
    TrustError,
)
from healthcode.storage.files import write_atomic
from healthcode.storage.reading import read_regular
from healthcode.trust.format.json_files import (
    JsonFile,
    Time,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.verify.roots import root_fingerprint, verify_roots

__all__ = [
    "Adopted",
    "Bootstrap",
    "bootstrap_mark",
    "check_fingerprint",
    "read_bootstrap",
    "write_adopted",
    "write_bootstrap",
]


_LIMITS = TrustLimits()
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES = 65_536


class _AdoptedDocument(JsonFile):
    root_fingerprint: str
    root_version: int
    adopted_at: Time


class _TrustDocument(JsonFile):
    format: Literal["healthcode/trust/1"] = "healthcode/trust/1"
    realm: str
    root_fingerprint: str
    adopted: tuple[_AdoptedDocument, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopted:
    """A root that a person took over by its fingerprint, and when, by this machine's clock."""

    fingerprint: str
    version: int
    at: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The root that a folder was begun with, and those that were adopted since."""

    realm: str
    fingerprint: str
    root: bytes
    adopted: tuple[Adopted, ...] = ()

    @property
    def trusted_root(self) -> bytes:
        """The root from which the roots of a source must follow: the one that a person named last."""
        return self.adopted[-1].root if self.adopted else self.root

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of the roots that were adopted."""
        return frozenset(each.fingerprint for each in self.adopted)

    def knows(self, fingerprint: str) -> bool:
        """Whether a person ever named this root for this folder."""
        return fingerprint == self.fingerprint or fingerprint in self.fingerprints

    def adopting(self, adopted: Adopted) -> Bootstrap:
        """The same, with one more root that a person names."""
        return replace(self, adopted=(*self.adopted, adopted))

    def roots_before_trusted(self, accepted: Sequence[bytes]) -> tuple[bytes, ...]:
        """The roots that this folder followed before its anchor; `accepted` are those of its generation."""
        if not self.adopted:
            return ()
        roots = accepted or (self.root,)
        return tuple(roots[: roots.index(self.trusted_root)] if self.trusted_root in roots else roots)


def check_fingerprint(text: str) -> None:
    """Raises ConfigurationError unless `text` has the form of a root fingerprint."""
    if _FINGERPRINT.fullmatch(text) is None:
        raise ConfigurationError(
            "a root fingerprint is sha256: and 64 hex digits, as `trust-registry fingerprint` prints it"
        )


def read_bootstrap(directory: Path, limits: TrustLimits = _LIMITS) -> Bootstrap:
    """The root that `directory` was begun with, and those that were adopted.

    Raises ConfigurationError when it was never begun, TrustError when what it was begun
    with is damaged.
    """
    try:
        document = decode_json_file(_TrustDocument, read_regular(directory / "trust.json"), _MAX_BYTES)
        root = read_regular(directory / "root.json")
        adopted = tuple(
            Adopted(each.root_fingerprint, each.root_version, each.adopted_at, _adopted_root(directory, each))
            for each in document.adopted
        )
    except FileNotFoundError as error:
        if (directory / "trust.json").exists() and (directory / "root.json").exists():
            raise TrustError(f"the trust folder {directory} is damaged: {error}") from error
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
    for each in adopted:
        if root_fingerprint(each.root) != each.fingerprint:
            raise TrustError(
                f"{_adopted_path(directory, each.fingerprint)} is damaged: adopt that root again"
            )
    found = Bootstrap(document.realm, document.root_fingerprint, root, adopted)
    realm = realm_of(
        verify_roots([root, *(each.root for each in adopted)], limits, adopted=found.fingerprints)[-1]
    )
    if realm != document.realm:
        raise TrustError(f"{directory}/trust.json is damaged: its root is of realm {realm}")
    return found


def write_adopted(directory: Path, bootstrap: Bootstrap) -> None:
    """Make the roots that were adopted durable. Raises TrustError (STORAGE_FULL); nothing has changed then."""
    try:
        (directory / "roots").mkdir(exist_ok=True)
        for each in bootstrap.adopted:
            write_atomic(_adopted_path(directory, each.fingerprint), each.root)
        write_bootstrap(directory, bootstrap)
    except OSError as error:
        raise TrustError(
            f"the trust folder {directory} cannot be written: {error.strerror}; it is as it was",
            reason=Reason.STORAGE_FULL,
        ) from error


def bootstrap_mark(directory: Path) -> tuple[int, int]:
    """Changes whenever trust.json was replaced, by whatever process; costs one stat."""
    try:
        status = (directory / "trust.json").stat()
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)


def write_bootstrap(directory: Path, bootstrap: Bootstrap) -> None:
    document = _TrustDocument(
        realm=bootstrap.realm,
        root_fingerprint=bootstrap.fingerprint,
        adopted=tuple(
            _AdoptedDocument(root_fingerprint=each.fingerprint, root_version=each.version, adopted_at=each.at)
            for each in bootstrap.adopted
        ),
    )
    write_atomic(directory / "trust.json", encode_json_file(document))


def _adopted_path(directory: Path, fingerprint: str) -> Path:
    check_fingerprint(fingerprint)
    return directory / "roots" / fingerprint.removeprefix("sha256:")


def _adopted_root(directory: Path, each: _AdoptedDocument) -> bytes:
    return read_regular(_adopted_path(directory, each.root_fingerprint))
