"""Begin a trust folder with the root that has a given fingerprint; never by trust on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from healthcode.errors import ConfigurationError, HealthcodeError, NotFoundError, Reason, RefusedTrustError
from healthcode.storage.files import write_atomic
from healthcode.trust.disk.bootstrap import Bootstrap, check_fingerprint, read_bootstrap, write_bootstrap
from healthcode.trust.format.layout import TrustLimits, metadata_file
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.roots import root_fingerprint, verify_roots

__all__ = ["find_root", "init_trust"]


_LIMITS = TrustLimits()


def init_trust(
    directory: Path | str,
    sources: TrustSource | Sequence[TrustSource],
    fingerprint: str,
    *,
    realm: str | None = None,
    limits: TrustLimits = _LIMITS,
) -> Bootstrap:
    """Begin a trust folder with the root of this fingerprint, `sha256:<64 hex digits>` of its file.

    A repeat with the same fingerprint changes nothing. Raises ConfigurationError for a malformed
    fingerprint, or a folder that was begun with another root; RefusedTrustError if no source
    serves such a root, or it is of another realm; UnavailableError.
    """
    directory = Path(directory)
    check_fingerprint(fingerprint)
    if (directory / "trust.json").exists():
        found = read_bootstrap(directory, limits)
        if not found.knows(fingerprint):
            raise ConfigurationError(
                f"the trust folder {directory} was begun with root {found.fingerprint}; use another folder, or "
                "remove this one if it was a mistake. If the key holders announced a new bootstrap, adopt its "
                "root with `rebootstrap`, which keeps what is revoked"
            )
        return found
    several = tuple(sources) if isinstance(sources, Sequence) else (sources,)
    root = find_root(several, fingerprint, limits)
    named = realm_of(verify_roots([root], limits)[0])
    if realm is not None and named != realm:
        raise RefusedTrustError(f"that root is of realm {named}, not {realm}", reason=Reason.REALM_MISMATCH)
    begun = Bootstrap(named, fingerprint, root)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomic(directory / "root.json", root)
        write_bootstrap(directory, begun)
    except OSError as error:
        raise ConfigurationError(
            f"the trust folder {directory} cannot be written: {error.strerror}"
        ) from error
    return begun


def find_root(sources: Sequence[TrustSource], fingerprint: str, limits: TrustLimits = _LIMITS) -> bytes:
    """The root of this fingerprint, from the first source that has it. The fingerprint is proof enough.

    Raises RefusedTrustError (ROOT_UNKNOWN) if no source has it, UnavailableError.
    """
    first: HealthcodeError | None = None
    for source in sources:
        try:
            return _find_in(source, fingerprint, limits)
        except HealthcodeError as error:
            first = first or error
    raise first or ConfigurationError("there is no source to begin from: name one")


def _find_in(source: TrustSource, fingerprint: str, limits: TrustLimits) -> bytes:
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
