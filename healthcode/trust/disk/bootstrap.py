"""The roots that a trust folder was begun with or adopted later: trust.json, root.json and roots/<hex>.

Replacing trust.json is the write that makes a beginning or an adoption durable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from healthcode.errors import ConfigurationError, DecodeError, Reason, TrustError
from healthcode.storage.files import write_atomic
from healthcode.storage.reading import read_regular
from healthcode.trust.format.json_files import JsonFile, Time, decode_json_file, encode_json_file
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


class _AdoptedRoot(JsonFile):
    root_fingerprint: str
    root_version: int
    adopted_at: Time


class _TrustFile(JsonFile):
    format: Literal["healthcode/trust/1"] = "healthcode/trust/1"
    realm: str
    root_fingerprint: str
    adopted: tuple[_AdoptedRoot, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopted:
    """A root that a person adopted by its fingerprint; `at` is when, by this machine's clock (seconds)."""

    fingerprint: str
    version: int
    at: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The root that a folder was begun with, and the roots that were adopted since."""

    realm: str
    fingerprint: str
    root: bytes
    adopted: tuple[Adopted, ...] = ()

    @property
    def trusted_root(self) -> bytes:
        """The root that a source's roots must follow: the last one that a person named."""
        return self.adopted[-1].root if self.adopted else self.root

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of the adopted roots."""
        return frozenset(each.fingerprint for each in self.adopted)

    def knows(self, fingerprint: str) -> bool:
        """Whether a person ever named this root for this folder."""
        return fingerprint == self.fingerprint or fingerprint in self.fingerprints

    def adopting(self, adopted: Adopted) -> Bootstrap:
        """A copy with one more adopted root."""
        return replace(self, adopted=(*self.adopted, adopted))

    def roots_before_trusted(self, accepted: Sequence[bytes]) -> tuple[bytes, ...]:
        """The roots that this folder followed before `trusted_root`; `accepted` are those of its generation."""
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
    """The root that `directory` was begun with, and the adopted roots.

    Raises ConfigurationError if it was never begun, TrustError if its files are damaged.
    """
    try:
        begun = decode_json_file(_TrustFile, read_regular(directory / "trust.json"), _MAX_BYTES)
        root = read_regular(directory / "root.json")
        adopted = tuple(
            Adopted(each.root_fingerprint, each.root_version, each.adopted_at, _adopted_root(directory, each))
            for each in begun.adopted
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
    if root_fingerprint(root) != begun.root_fingerprint:
        raise TrustError(
            f"{directory}/root.json is damaged: its fingerprint is not the one it was begun with"
        )
    for each in adopted:
        if root_fingerprint(each.root) != each.fingerprint:
            raise TrustError(
                f"{_adopted_path(directory, each.fingerprint)} is damaged: adopt that root again"
            )
    found = Bootstrap(begun.realm, begun.root_fingerprint, root, adopted)
    realm = realm_of(
        verify_roots([root, *(each.root for each in adopted)], limits, adopted=found.fingerprints)[-1]
    )
    if realm != begun.realm:
        raise TrustError(f"{directory}/trust.json is damaged: its root is of realm {realm}")
    return found


def write_adopted(directory: Path, bootstrap: Bootstrap) -> None:
    """Make the adopted roots durable. Raises TrustError (STORAGE_FULL); nothing has changed then."""
    try:
        (directory / "roots").mkdir(exist_ok=True)
        for each in bootstrap.adopted:
            write_atomic(_adopted_path(directory, each.fingerprint), each.root)
        write_bootstrap(directory, bootstrap)
    except OSError as error:
        raise TrustError(
            f"the trust folder {directory} cannot be written: {error.strerror}; it is unchanged",
            reason=Reason.STORAGE_FULL,
        ) from error


def bootstrap_mark(directory: Path) -> tuple[int, int]:
    """Changes whenever any process replaces trust.json. Costs one stat."""
    try:
        status = (directory / "trust.json").stat()
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)


def write_bootstrap(directory: Path, bootstrap: Bootstrap) -> None:
    """Replace trust.json. Raises OSError."""
    content = _TrustFile(
        realm=bootstrap.realm,
        root_fingerprint=bootstrap.fingerprint,
        adopted=tuple(
            _AdoptedRoot(root_fingerprint=each.fingerprint, root_version=each.version, adopted_at=each.at)
            for each in bootstrap.adopted
        ),
    )
    write_atomic(directory / "trust.json", encode_json_file(content))


def _adopted_path(directory: Path, fingerprint: str) -> Path:
    check_fingerprint(fingerprint)
    return directory / "roots" / fingerprint.removeprefix("sha256:")


def _adopted_root(directory: Path, each: _AdoptedRoot) -> bytes:
    return read_regular(_adopted_path(directory, each.root_fingerprint))
