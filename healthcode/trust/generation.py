"""Generations on disk: a whole, consistent set of trust files, or none.

    DIR/trust.json, root.json        what the folder was begun with (bootstrap.py)
    DIR/current -> generations/7     swapped by rename: the write that makes a refresh durable
    DIR/generations/7/manifest.json  SHA-256 of each file, to find damage by name
                     /metadata/…  /targets/…  /lists/…  /witness/…
    DIR/cache/                       python-tuf's; never trusted, may be deleted

Three generations are kept. A file that did not change is a hard link to the generation
*before the last*, so two neighbours never share one: damage to a file leaves a whole
generation beside it. Every file is fsynced before `current` names it. A newer timestamp
over the same snapshot replaces that one file, by rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from healthcode.errors import DecodeError, Reason, TrustError
from healthcode.trust.assembly import AreaFiles, IssuerFiles, ListReader, Rejected, TrustFiles, Witness
from healthcode.trust.document import load_json
from healthcode.trust.durable import replace_file, sync, sync_all
from healthcode.trust.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    authority_role,
    head_path,
    live_role,
    province_path,
)
from healthcode.trust.national import NationalFiles

__all__ = [
    "KEPT",
    "Checkpoint",
    "current_generation",
    "generation_numbers",
    "read_generation",
    "swap_timestamp",
    "write_generation",
]

KEPT = 3
MANIFEST = "manifest.json"
_FORMAT = "healthcode/generation/1"
_TIMESTAMP = "metadata/timestamp.json"
_MAX_DIGITS = 18
_MAX_MANIFEST_BYTES = 4_194_304

Checkpoint = Callable[[str], None]
"""Called with a step's name before the next one begins; tests cut the power there."""


def _metadata(role: str) -> str:
    return f"metadata/{role}.json"


def _target(path: str) -> str:
    return f"targets/{quote(path, '')}"


def _is_number(name: str) -> bool:
    """Whether a folder's name is one that we gave it; `²` is a digit, too, and no number."""
    return name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS


def generation_numbers(directory: Path) -> list[int]:
    """The generations there are, newest first; those newer than `current` were never finished."""
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


def _layout(files: TrustFiles) -> dict[str, bytes]:
    """Every file of a generation by its place, without lists."""
    national = files.national
    placed = {
        _TIMESTAMP: national.timestamp,
        _metadata("snapshot"): national.snapshot,
        _metadata("targets"): national.targets,
        _target(PARTICIPANTS_PATH): national.participants,
        _target(POLICY_PATH): national.policy,
    }
    for step, root in enumerate(national.roots[1:], start=1):
        placed[f"metadata/root+{step}.json"] = root
    if files.areas is not None:
        placed[_metadata(AREAS_ROLE)] = files.areas.metadata
        placed[_target(RISK_PATH)] = files.areas.risk
    for code, issuer in files.issuers.items():
        placed[_metadata(authority_role(code))] = issuer.metadata
        placed[_target(province_path(code))] = issuer.province_json
        if issuer.live_metadata is not None and issuer.head is not None:
            placed[_metadata(live_role(code))] = issuer.live_metadata
            placed[_target(head_path(code))] = issuer.head
    for code, witness in files.witnesses.items():
        placed[f"witness/{code}.targets.json"] = witness.targets
        placed[f"witness/{code}.participants.json"] = witness.participants
    return placed


def read_generation(directory: Path, number: int, bootstrap: bytes) -> tuple[TrustFiles, ListReader]:
    """The files of a generation and a reader of its lists; damage is found, signatures are not checked here.

    Raises TrustError naming the file that is missing or damaged.
    """
    folder = directory / "generations" / str(number)
    manifest = _read_manifest(folder)
    listed: dict[str, str] = manifest["files"]
    found: dict[str, bytes] = {}
    for place, digest in listed.items():
        if not place.startswith("lists/"):
            found[place] = _read(folder, place, digest)
    found[_TIMESTAMP] = _read(folder, _TIMESTAMP, None)

    def read_list(path: str, max_bytes: int) -> bytes:
        return _read(folder, path, listed.get(path, ""), max_bytes)

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
        found[_TIMESTAMP],
        found[_metadata("snapshot")],
        found[_metadata("targets")],
        found[_target(PARTICIPANTS_PATH)],
        found[_target(POLICY_PATH)],
    )
    areas = None
    if _metadata(AREAS_ROLE) in found:
        areas = AreaFiles(found[_metadata(AREAS_ROLE)], found[_target(RISK_PATH)])
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
        for who, why, text in manifest.get("rejected", ())  # type: ignore[attr-defined]  # checked in _read_manifest
    )
    sightings = manifest.get("sightings", {})
    seen = (
        {str(key): value for key, value in sightings.items() if type(value) is int}
        if isinstance(sightings, dict)
        else {}
    )
    return TrustFiles(national, areas, issuers, witnesses, rejected, seen)


def _strings(manifest: Mapping[str, object], name: str) -> list[str]:
    value = manifest.get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    where = f"generation {folder.name}: {MANIFEST}"
    try:
        manifest = load_json((folder / MANIFEST).read_bytes(), _MAX_MANIFEST_BYTES)
    except OSError as error:
        raise TrustError(f"{where} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise TrustError(f"{where} is damaged: {error.message}") from error
    sound = (
        isinstance(manifest, dict)
        and manifest.get("format") == _FORMAT
        and isinstance(manifest.get("files"), dict)
        and all(isinstance(digest, str) for digest in manifest["files"].values())
        and all(".." not in place and not place.startswith("/") for place in manifest["files"])
        and isinstance(manifest.get("rejected"), list)
        and all(isinstance(row, list) and len(row) == 3 for row in manifest["rejected"])
    )
    if not sound:
        raise TrustError(f"{where} is not one of ours; delete the folder, or restore it")
    assert isinstance(manifest, dict)  # noqa: S101  `sound` says so; this tells the type checker
    return manifest


def _read(folder: Path, place: str, digest: str | None, max_bytes: int | None = None) -> bytes:
    where = f"generation {folder.name}: {place}"
    try:
        with (folder / place).open("rb") as file:
            data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    except OSError as error:
        raise TrustError(f"{where} cannot be read: {error.strerror}") from error
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise TrustError(f"{where} is damaged: it is not the file that was written")
    return data


def write_generation(
    directory: Path,
    files: TrustFiles,
    lists: Mapping[str, bytes | None],
    *,
    base: int | None,
    checkpoint: Checkpoint = lambda _step: None,
) -> int:
    """Make a generation durable, then current; its number.

    `base` is the generation that serves now, if any. `lists` is by place (`lists/<hex>`):
    new bytes, or None for one that `base` holds. Raises TrustError(STORAGE_FULL) when the disk does not take it; the
    current generation then stays.
    """
    number = max([current_generation(directory) or 0, *generation_numbers(directory)]) + 1
    folder = directory / "generations" / str(number)
    try:
        _write(directory, folder, files, lists, base, checkpoint)
        checkpoint("generation.synced")
        _swap_current(directory, number)
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        raise _storage(directory, error) from error
    checkpoint("current.swapped")
    _prune(directory, number)
    return number


def _write(
    directory: Path,
    folder: Path,
    files: TrustFiles,
    lists: Mapping[str, bytes | None],
    base: int | None,
    checkpoint: Checkpoint,
) -> None:
    folder.mkdir(parents=True)
    for name in ("metadata", "targets", "lists", "witness"):
        (folder / name).mkdir()
    elder = _elder(directory, base)
    unchanged = {} if elder is None else _sound_files(elder)
    contents: dict[str, bytes | None] = {**_layout(files), **lists}
    digests: dict[str, str] = {}
    written = [folder / MANIFEST]
    # plain strings: of a hundred files most are links, and a path object costs more than the link
    here, there = f"{folder}/", f"{elder}/"
    for place, data in contents.items():
        # a list is named by its own digest
        digest = place.removeprefix("lists/") if data is None else hashlib.sha256(data).hexdigest()
        if place != _TIMESTAMP:
            digests[place] = digest
        if elder is not None and place != _TIMESTAMP and unchanged.get(place) == digest:
            os.link(there + place, here + place)
            continue
        if data is None:
            data = _read(directory / "generations" / str(base), place, digest)  # noqa: PLW2901  read late, to hold one at a time
        (folder / place).write_bytes(data)
        written.append(folder / place)
    checkpoint("files.written")
    manifest = {
        "format": _FORMAT,
        "files": digests,
        "issuers": sorted(files.issuers),
        "witnesses": sorted(files.witnesses),
        "sightings": dict(files.sightings),
        "rejected": [[each.participant, each.reason, each.message] for each in files.rejected],
    }
    (folder / MANIFEST).write_bytes(json.dumps(manifest, ensure_ascii=False).encode())
    sync_all(written)
    names = ("metadata", "targets", "lists", "witness", ".")
    sync_all([*(folder / each for each in names), folder.parent])


def _elder(directory: Path, base: int | None) -> Path | None:
    """The generation before the one that serves, to link unchanged files from."""
    older = [number for number in generation_numbers(directory) if base is not None and number < base]
    return directory / "generations" / str(older[0]) if older else None


def _sound_files(folder: Path) -> dict[str, str]:
    """The files of a generation (place to digest) that nobody wrote to after its manifest was made."""
    try:
        finished = (folder / MANIFEST).stat().st_mtime_ns
        listed = _read_manifest(folder)["files"]
        here = f"{folder}/"
        return {
            place: digest
            for place, digest in listed.items()
            if os.stat(here + place).st_mtime_ns <= finished  # noqa: PTH116  as in _write
        }
    except (OSError, TrustError):
        return {}


def _swap_current(directory: Path, number: int) -> None:
    fresh = directory / "current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("generations") / str(number))
    fresh.replace(directory / "current")
    sync(directory)


def _prune(directory: Path, current: int) -> None:
    """Keep the current generation and the two before it; what was never finished goes."""
    numbers = generation_numbers(directory)
    kept = [number for number in numbers if number <= current][:KEPT]
    for number in numbers:
        if number not in kept:
            shutil.rmtree(directory / "generations" / str(number), ignore_errors=True)


def swap_timestamp(directory: Path, number: int, timestamp: bytes) -> None:
    """Replace the timestamp of a generation by a newer one over the same snapshot, durably."""
    try:
        replace_file(directory / "generations" / str(number) / _TIMESTAMP, timestamp)
    except OSError as error:
        raise _storage(directory, error) from error


def _storage(directory: Path, error: OSError) -> TrustError:
    return TrustError(
        f"the trust folder {directory} cannot be written: {error.strerror}; what it held before stays",
        reason=Reason.STORAGE_FULL,
    )
