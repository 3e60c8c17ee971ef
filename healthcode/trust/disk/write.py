"""Making generations: each whole on disk before `current` names it, and cheap when little has changed.

A file that did not change is a hard link to the generation *before the last*, so two
neighbours never share one: damage to a file leaves a whole generation beside it. The
folder of the oldest becomes the next one: its files are links already, but for what has
changed since. Beside the new one, the last three are kept.

Every file is fsynced before `current` names it; the rename of `current`, and the fsync of
its folder, is the write that makes a refresh durable. A newer timestamp over the same
snapshot replaces that one file, by rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import Reason, TrustError
from healthcode.storage.files import sync, sync_all, write_atomic
from healthcode.trust.disk.read import (
    FOLDERS,
    FORMAT,
    MANIFEST,
    TIMESTAMP,
    current_generation,
    generation_numbers,
    places_of,
    read_file,
    read_manifest,
)
from healthcode.trust.verify.trust_state import TrustFiles

__all__ = ["KEPT", "Checkpoint", "swap_timestamp", "write_generation"]

KEPT = 3
"""Generations that are kept beside the newest."""

Checkpoint = Callable[[str], None]
"""Called with a step's name before the next one begins; tests cut the power there."""


@dataclass(frozen=True, slots=True)
class _Row:
    """Where the next generation stands among those there are, by number.

    `base` serves now; from `elder`, the one before it, unchanged files are linked; the
    folder of `spare` is used again; `dropped` go.
    """

    number: int
    base: int | None
    elder: int | None
    spare: int | None
    dropped: Sequence[int]


def write_generation(
    directory: Path,
    files: TrustFiles,
    lists: Mapping[str, bytes | None],
    *,
    base: int | None,
    known: Container[int] = (),
    checkpoint: Checkpoint = lambda _step: None,
) -> int:
    """Make a generation durable, then current; its number.

    `known`: the generations that this process has read whole, or written. A file of another
    one is hashed before it is linked: silent damage must not go from one into the next.

    `base` is the generation that serves now, if any. `lists` is by place (`lists/<hex>`):
    new bytes, or None for one that `base` holds. Raises TrustError(STORAGE_FULL) when the disk does not take it; the
    current generation then stays.
    """
    row = _line_up(directory, base)
    folder = _folder(directory, row.number)
    try:
        _write(directory, row, files, lists, known, checkpoint)
        checkpoint("generation.synced")
        _swap_current(directory, row.number)
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        raise _storage(directory, error) from error
    checkpoint("current.swapped")
    for number in row.dropped:
        shutil.rmtree(_folder(directory, number), ignore_errors=True)
    return row.number


def _folder(directory: Path, number: int) -> Path:
    return directory / "generations" / str(number)


def _line_up(directory: Path, base: int | None) -> _Row:
    numbers, current = generation_numbers(directory), current_generation(directory)
    elder = next((number for number in numbers if base is not None and number < base), None)
    kept = [number for number in numbers if current is None or number <= current][:KEPT]
    # those that nobody needs: the oldest, and what was never finished
    spares = [number for number in numbers if number not in {*kept, base, elder}]
    return _Row(
        number=max([current or 0, *numbers]) + 1,
        base=base,
        elder=elder,
        spare=min(spares, default=None),
        dropped=[number for number in numbers if number not in kept],
    )


def _write(
    directory: Path,
    row: _Row,
    files: TrustFiles,
    lists: Mapping[str, bytes | None],
    known: Container[int],
    checkpoint: Checkpoint,
) -> None:
    folder = _folder(directory, row.number)
    there = _begin(directory, row)
    elder = None if row.elder is None else _folder(directory, row.elder)
    sound = {} if elder is None else _sound_files(elder, hashed=row.elder not in known)
    contents: dict[str, bytes | None] = {**places_of(files), **lists}
    digests: dict[str, str] = {}
    written = [MANIFEST]
    # plain strings: of a hundred files most are links, and a path object costs more than the link
    to, source = f"{folder}/", f"{elder}/"
    for place, data in contents.items():
        # a list is named by its own digest
        digest = place.removeprefix("lists/") if data is None else hashlib.sha256(data).hexdigest()
        held = there.pop(place, None)
        if place != TIMESTAMP:
            digests[place] = digest
            of_elder, inode = sound.get(place, ("", 0))
            if of_elder == digest:
                if held == inode:
                    continue
                if held is not None:
                    os.unlink(to + place)  # noqa: PTH108  as above
                os.link(source + place, to + place)
                continue
        if held is not None:
            os.unlink(to + place)  # noqa: PTH108  it is a link: writing to it would write to the others
        if data is None:
            # read late, to hold one at a time
            data = read_file(directory / "generations" / str(row.base), place, digest)  # noqa: PLW2901
        (folder / place).write_bytes(data)
        written.append(place)
    for place in there:
        os.unlink(to + place)  # noqa: PTH108  as above
    checkpoint("files.written")
    manifest = {
        "format": FORMAT,
        "files": digests,
        "issuers": sorted(files.issuers),
        "witnesses": sorted(files.witnesses),
        "sightings": dict(files.sightings),
        "rejected": [[each.participant, each.reason, each.message] for each in files.rejected],
    }
    (folder / MANIFEST).write_bytes(json.dumps(manifest, ensure_ascii=False).encode())
    sync_all([*(folder / each for each in (*written, *FOLDERS, ".")), folder.parent])


def _begin(directory: Path, row: _Row) -> dict[str, int]:
    """The folder of the next generation, and what lies in it from the spare one: place → inode."""
    folder = _folder(directory, row.number)
    if row.spare is None:
        folder.mkdir(parents=True)
    else:
        spare = _folder(directory, row.spare)
        # without its manifest it is no generation any more, whatever happens from here on
        (spare / MANIFEST).unlink(missing_ok=True)
        spare.rename(folder)
    found: dict[str, int] = {}
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
        with os.scandir(folder / name) as entries:
            found |= {f"{name}/{entry.name}": entry.inode() for entry in entries}
    return found


def _sound_files(folder: Path, *, hashed: bool) -> dict[str, tuple[str, int]]:
    """The files of a generation that nobody wrote to after its manifest was made: place → (digest, inode).

    `hashed`: each is read, too; a bad disk, or a copy of a damaged folder, keeps the times.
    """
    found: dict[str, tuple[str, int]] = {}
    try:
        finished = (folder / MANIFEST).stat().st_mtime_ns
        here = f"{folder}/"
        for place, digest in read_manifest(folder)["files"].items():
            status = os.stat(here + place)  # noqa: PTH116  as in _write
            if status.st_mtime_ns > finished or not stat.S_ISREG(status.st_mode):
                continue
            if not hashed or hashlib.sha256((folder / place).read_bytes()).hexdigest() == digest:
                found[place] = (digest, status.st_ino)
    except (OSError, TrustError):
        return {}
    return found


def _swap_current(directory: Path, number: int) -> None:
    fresh = directory / "current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("generations") / str(number))
    current = directory / "current"
    if current.is_dir() and not current.is_symlink():
        # a copy that followed links: it is in the way of every refresh, and nobody reads it
        current.rename(next(path for path in map(current.with_name, _asides()) if not path.exists()))
    fresh.replace(current)
    sync(directory)


def _asides() -> Iterator[str]:
    return (f"current.aside-{number}" for number in itertools.count(1))


def swap_timestamp(directory: Path, number: int, timestamp: bytes) -> None:
    """Replace the timestamp of a generation by a newer one over the same snapshot, durably."""
    try:
        write_atomic(directory / "generations" / str(number) / TIMESTAMP, timestamp)
    except OSError as error:
        raise _storage(directory, error) from error


def _storage(directory: Path, error: OSError) -> TrustError:
    where = f" ({error.filename})" if error.filename else ""
    return TrustError(
        f"the trust folder {directory} cannot be written: {error.strerror}{where}; what it held before stays",
        reason=Reason.STORAGE_FULL,
    )
