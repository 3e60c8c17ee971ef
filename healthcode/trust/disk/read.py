"""Read the generations of a trust folder, each one complete and consistent set of trust files.

write.py makes them; `DIR/current` links to the one that serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from healthcode.errors import DecodeError, Reason, TrustError
from healthcode.storage.lock import read_folder
from healthcode.storage.reading import read_regular
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    authority_role,
    head_path,
    live_role,
    province_path,
)
from healthcode.trust.verify.issuer_trust import IssuerFiles, ListReader
from healthcode.trust.verify.national import KeptPolicy, NationalFiles
from healthcode.trust.verify.trust_state import AreaFiles, Rejected, TrustFiles, Witness

__all__ = [
    "FOLDERS",
    "FORMAT",
    "MANIFEST",
    "NEWEST",
    "TIMESTAMP",
    "current_generation",
    "files_by_path",
    "generation_numbers",
    "holds_list",
    "is_still_current",
    "lost_files",
    "manifest_mark",
    "read_file",
    "read_generation",
    "read_manifest",
    "read_newest",
    "reading",
]

# DIR/trust.json, root.json        what the folder was begun with (bootstrap.py)
# DIR/current -> generations/7     replaced by rename: the write that makes a refresh durable
# DIR/generations/7/manifest.json  SHA-256 of each file, to name damaged ones
#                  /metadata/…  /targets/…  /lists/…  /witness/… (older signed files that still count)
# DIR/newest.json                  the timestamp of the newest generation ever written, written after `current`
# DIR/cache/                       of python-tuf; never trusted, may be deleted
FOLDERS = ("metadata", "targets", "lists", "witness")
MANIFEST = "manifest.json"
NEWEST = "newest.json"
FORMAT = "healthcode/generation/1"
TIMESTAMP = "metadata/timestamp.json"
_KEPT_POLICY = ("witness/policy.targets.json", "witness/policy.national.json")
_KEPT_AREAS = ("witness/areas.metadata.json", "witness/areas.risk.json")
_MAX_DIGITS = 18
_MAX_MANIFEST_BYTES = 4_194_304
_MAX_LOST_BYTES = 1_048_576


def _metadata(role: str) -> str:
    return f"metadata/{role}.json"


@lru_cache(maxsize=512)
def _target(path: str) -> str:
    return f"targets/{quote(path, '')}"


def _is_number(name: str) -> bool:
    """Whether a folder's name is one that we gave it. `²` is a digit, but no such name."""
    return name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS


def generation_numbers(directory: Path) -> list[int]:
    """The generations in the folder, newest first; those newer than `current` were never finished."""
    folder = directory / "generations"
    found = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted((int(name) for name in found if _is_number(name)), reverse=True)


def current_generation(directory: Path) -> int | None:
    """The generation that `current` names; None before the first refresh."""
    try:
        name = (directory / "current").readlink().name
    except OSError:
        return None
    return int(name) if _is_number(name) else None


def is_still_current(directory: Path, number: int, national: NationalFiles, mark: bytes) -> bool:
    """Whether `current` still names that generation, with that timestamp and that manifest (`manifest_mark`)."""
    if current_generation(directory) != number:
        return False
    try:
        if read_regular(directory / "generations" / str(number) / TIMESTAMP) != national.timestamp:
            return False
    except OSError:
        return False
    return manifest_mark(directory, number) == mark


def manifest_mark(directory: Path, number: int) -> bytes:
    """SHA-256 of a generation's manifest as it is now; empty if it cannot be read."""
    try:
        return hashlib.sha256(read_regular(directory / "generations" / str(number) / MANIFEST)).digest()
    except OSError:
        return b""


def holds_list(directory: Path, number: int, path: str) -> bool:
    """Whether a generation has the list at `path` (`lists/<hex>`), undamaged."""
    try:
        read_file(directory / "generations" / str(number), path, path.removeprefix("lists/"))
    except TrustError:
        return False
    return True


def lost_files(directory: Path, numbers: Sequence[int]) -> tuple[bytes, ...]:
    """Timestamp and snapshot of damaged generations, if they can be read. Not verified."""
    found = []
    for number in numbers:
        for path in (TIMESTAMP, _metadata("snapshot")):
            with suppress(TrustError):
                found.append(read_file(directory / "generations" / str(number), path, None, _MAX_LOST_BYTES))
    return tuple(found)


def read_newest(directory: Path) -> tuple[bytes, ...]:
    """The timestamp of the newest generation that this folder ever had, if it can be read. Not verified.

    Read it before `current_generation`: what `current` names then is not older, but for damage.
    """
    with suppress(OSError):
        return (read_regular(directory / NEWEST, _MAX_LOST_BYTES),)
    return ()


def files_by_path(files: TrustFiles) -> dict[str, bytes]:
    """Every file of a generation except the lists, by its path in the generation's folder."""
    national = files.national
    by_path = {
        TIMESTAMP: national.timestamp,
        _metadata("snapshot"): national.snapshot,
        _metadata("targets"): national.targets,
        _target(PARTICIPANTS_PATH): national.participants,
        _target(POLICY_PATH): national.policy,
    }
    for step, root in enumerate(national.roots[1:], start=1):
        by_path[f"metadata/root+{step}.json"] = root
    if (kept := national.kept_policy) is not None:
        by_path |= {_KEPT_POLICY[0]: kept.targets, _KEPT_POLICY[1]: kept.policy}
    if files.areas is not None:
        by_path[_metadata(AREAS_ROLE)] = files.areas.metadata
        by_path[_target(RISK_PATH)] = files.areas.risk
        if (older := files.areas.kept) is not None:
            by_path |= {_KEPT_AREAS[0]: older.metadata, _KEPT_AREAS[1]: older.risk}
    for code, issuer in files.issuers.items():
        by_path[_metadata(authority_role(code))] = issuer.metadata
        by_path[_target(province_path(code))] = issuer.province_json
        if issuer.live_metadata is not None and issuer.head is not None:
            by_path[_metadata(live_role(code))] = issuer.live_metadata
            by_path[_target(head_path(code))] = issuer.head
    for code, witness in files.witnesses.items():
        by_path[f"witness/{code}.targets.json"] = witness.targets
        by_path[f"witness/{code}.participants.json"] = witness.participants
    return by_path


@contextmanager
def reading(directory: Path, number: int) -> Iterator[None]:
    """Inside the block no follower reuses the generation's folder. Raises TrustError if it is gone already."""
    try:
        with read_folder(directory / "generations" / str(number)):
            yield
    except OSError as error:
        raise TrustError(f"generation {number} cannot be read: {error.strerror}") from error


def read_generation(directory: Path, number: int, bootstrap: bytes) -> tuple[TrustFiles, ListReader]:
    """The files of a generation and a reader of its lists. Finds damage; does not verify signatures.

    Raises TrustError that names the missing or damaged file.
    """
    folder = directory / "generations" / str(number)
    manifest = read_manifest(folder)
    listed: dict[str, str] = manifest["files"]
    found: dict[str, bytes] = {}
    for path, digest in listed.items():
        if not path.startswith("lists/"):
            found[path] = read_file(folder, path, digest)
    found[TIMESTAMP] = read_file(folder, TIMESTAMP, None)

    def read_list(path: str, max_bytes: int) -> bytes:
        return read_file(folder, path, listed.get(path, ""), max_bytes)

    try:
        return _collect(found, bootstrap, manifest), read_list
    except KeyError as error:
        raise TrustError(f"generation {number} has no {error.args[0]}") from error


def _collect(found: Mapping[str, bytes], bootstrap: bytes, manifest: Mapping[str, object]) -> TrustFiles:
    roots = [bootstrap]
    while (root := found.get(f"metadata/root+{len(roots)}.json")) is not None:
        roots.append(root)
    national = NationalFiles(
        tuple(roots),
        found[TIMESTAMP],
        found[_metadata("snapshot")],
        found[_metadata("targets")],
        found[_target(PARTICIPANTS_PATH)],
        found[_target(POLICY_PATH)],
        kept_policy=KeptPolicy(*_both(found, _KEPT_POLICY)) if _KEPT_POLICY[0] in found else None,
    )
    areas = None
    if _metadata(AREAS_ROLE) in found:
        areas = AreaFiles(
            found[_metadata(AREAS_ROLE)],
            found[_target(RISK_PATH)],
            AreaFiles(*_both(found, _KEPT_AREAS)) if _KEPT_AREAS[0] in found else None,
        )
    issuers = {}
    for code in _strings(manifest, "issuers"):
        live = found.get(_metadata(live_role(code)))
        head = None if live is None else found[_target(head_path(code))]
        issuers[code] = IssuerFiles(
            found[_metadata(authority_role(code))], found[_target(province_path(code))], live, head
        )
    witnesses = {
        code: Witness(found[f"witness/{code}.targets.json"], found[f"witness/{code}.participants.json"])
        for code in _strings(manifest, "witnesses")
    }
    known = frozenset(Reason)
    rejected = tuple(
        Rejected(str(who), Reason(why) if why in known else Reason.INTERNAL, str(text))
        for who, why, text in manifest.get("rejected", ())  # type: ignore[attr-defined]  # checked in read_manifest
    )
    sightings = manifest.get("sightings", {})
    seen = (
        {str(key): value for key, value in sightings.items() if type(value) is int}
        if isinstance(sightings, dict)
        else {}
    )
    return TrustFiles(national, areas, issuers, witnesses, rejected, seen)


def _both(found: Mapping[str, bytes], paths: tuple[str, str]) -> tuple[bytes, bytes]:
    return found[paths[0]], found[paths[1]]


def _strings(manifest: Mapping[str, object], name: str) -> list[str]:
    value = manifest.get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """The manifest of a generation. Raises TrustError unless it is one of ours."""
    where = f"generation {folder.name}: {MANIFEST}"
    try:
        manifest = load_json(read_regular(folder / MANIFEST, _MAX_MANIFEST_BYTES), _MAX_MANIFEST_BYTES)
    except OSError as error:
        raise TrustError(f"{where} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise TrustError(f"{where} is damaged: {error.message}") from error
    sound = (
        isinstance(manifest, dict)
        and manifest.get("format") == FORMAT
        and isinstance(manifest.get("files"), dict)
        and all(isinstance(digest, str) for digest in manifest["files"].values())
        and all(".." not in path and not path.startswith("/") for path in manifest["files"])
        and isinstance(manifest.get("rejected"), list)
        and all(isinstance(row, list) and len(row) == 3 for row in manifest["rejected"])
    )
    if not sound:
        raise TrustError(f"{where} is not one of ours; delete the folder, or restore it")
    assert isinstance(manifest, dict)  # noqa: S101  `sound` says so; this tells the type checker
    return manifest


def read_file(folder: Path, path: str, digest: str | None, max_bytes: int | None = None) -> bytes:
    """A file of a generation. Raises TrustError if it is missing or does not have this SHA-256 (hex)."""
    where = f"generation {folder.name}: {path}"
    try:
        data = read_regular(folder / path, max_bytes)
    except OSError as error:
        raise TrustError(f"{where} cannot be read: {error.strerror}") from error
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise TrustError(f"{where} is damaged: it is not the file that was written")
    return data
