"""Write generations: each durable before `current` names it, and cheap if little has changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from healthcode.errors import Reason, TrustError
from healthcode.storage.files import sync, sync_all, write_atomic
from healthcode.storage.lock import in_use
from healthcode.trust.disk.read import (
    FOLDERS,
    FORMAT,
    MANIFEST,
    NEWEST,
    TIMESTAMP,
    current_generation,
    files_by_path,
    generation_numbers,
    read_file,
    read_manifest,
)
from healthcode.trust.verify.trust_state import TrustFiles

__all__ = ["KEPT", "Checkpoint", "swap_timestamp", "write_generation"]

KEPT = 3
"""Number of generations kept beside the newest."""

_MOST = 16
"""With more generations than these, also those that somebody reads are reused."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK, errno.ENOSYS})

Checkpoint = Callable[[str], None]
"""Called with a step's name when it is done. Tests interrupt the program there."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which generations the next one is made from, by number.

    `base` serves now. Unchanged files are linked from `elder`, the one before it. The folder of
    `spare` is reused. `dropped` are deleted.
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
    """Make a generation durable, then current; returns its number.

    `base` is the serving generation, if any. `lists` is by path (`lists/<hex>`): content, or None for a
    list that `base` has. `known`: generations that this process read whole or wrote; files of any
    other are hashed before they are linked, so that silent damage does not spread. Raises
    TrustError(STORAGE_FULL); the current generation is then unchanged.
    """
    plan = _plan(directory, base)
    folder = _folder(directory, plan.number)
    try:
        _write(directory, plan, files, lists, known, checkpoint)
        checkpoint("generation.synced")
        _swap_current(directory, plan.number)
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        raise _storage(directory, error) from error
    checkpoint("current.swapped")
    with contextlib.suppress(OSError):  # without room, the next generation notes it
        write_atomic(directory / NEWEST, files.national.timestamp, mode=_modes(directory).file)
    for number in plan.dropped:
        shutil.rmtree(_folder(directory, number), ignore_errors=True)
    return plan.number


def _folder(directory: Path, number: int) -> Path:
    return directory / "generations" / str(number)


# An unchanged file is a hard link to the generation before the last, so two neighbours never share a file: damage to
# one leaves a whole generation beside it. The oldest generation's folder is reused, since most of its files are links
# to the same content already.
def _plan(directory: Path, base: int | None) -> _Plan:
    numbers, current = generation_numbers(directory), current_generation(directory)
    elder = next((number for number in numbers if base is not None and number < base), None)
    kept = [number for number in numbers if current is None or number <= current][:KEPT]
    if len(numbers) <= _MOST:
        # a reader that takes long reads on; one that never ends must not fill the disk
        kept += [number for number in numbers if number not in kept and in_use(_folder(directory, number))]
    # generations that are not needed: the oldest, and unfinished ones
    spares = [number for number in numbers if number not in {*kept, base, elder}]
    return _Plan(
        number=max([current or 0, *numbers]) + 1,
        base=base,
        elder=elder,
        spare=min(spares, default=None),
        dropped=[number for number in numbers if number not in kept],
    )


def _write(
    directory: Path,
    plan: _Plan,
    files: TrustFiles,
    lists: Mapping[str, bytes | None],
    known: Container[int],
    checkpoint: Checkpoint,
) -> None:
    folder = _folder(directory, plan.number)
    there = _begin(directory, plan)
    elder = None if plan.elder is None else _folder(directory, plan.elder)
    modes = _modes(directory)
    sound = {} if elder is None else _sound_files(elder, modes.file, hashed=plan.elder not in known)
    contents: dict[str, bytes | None] = {**files_by_path(files), **lists}
    digests: dict[str, str] = {}
    written = [MANIFEST]
    # plain strings: of a hundred files most are links, and a Path object costs more than the link
    to, source = f"{folder}/", f"{elder}/"
    for path, data in contents.items():
        # a list is named by its own digest
        digest = path.removeprefix("lists/") if data is None else hashlib.sha256(data).hexdigest()
        held = there.pop(path, None)
        if path != TIMESTAMP:
            digests[path] = digest
            of_elder, inode = sound.get(path, ("", 0))
            if of_elder == digest:
                if held == inode:
                    continue
                if held is not None:
                    os.unlink(to + path)  # noqa: PTH108  as above
                if _link(source + path, to + path):
                    continue
                held = None
        if held is not None:
            os.unlink(to + path)  # noqa: PTH108  a link: writing to it would change other generations
        if data is None:
            # read late, so that memory holds one list at a time
            data = read_file(directory / "generations" / str(plan.base), path, digest)  # noqa: PLW2901
        (folder / path).write_bytes(data)
        written.append(path)
    for path in there:
        os.unlink(to + path)  # noqa: PTH108  as above
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
    for place in (folder.parent, folder, *(folder / name for name in FOLDERS)):
        place.chmod(modes.folder)
    for name in written:
        (folder / name).chmod(modes.file)
    sync_all([*(folder / each for each in (*written, *FOLDERS, ".")), folder.parent])


class _Modes(NamedTuple):
    folder: int
    file: int


def _modes(directory: Path) -> _Modes:
    """Whoever may read the trust folder may read all that is in it, whatever the umask of whom writes."""
    mode = directory.stat().st_mode
    return _Modes(0o700 | mode & 0o055, 0o600 | mode & 0o044)


def _link(source: str, to: str) -> bool:
    """Make a hard link; False on a file system that has none, or no more of this file."""
    try:
        os.link(source, to)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def _begin(directory: Path, plan: _Plan) -> dict[str, int]:
    """Make the folder of the next generation; returns the files in it, from the spare one: path → inode."""
    folder = _folder(directory, plan.number)
    if plan.spare is None:
        folder.mkdir(parents=True)
    else:
        spare = _folder(directory, plan.spare)
        # without its manifest it is no generation any more, even if we are killed from here on
        (spare / MANIFEST).unlink(missing_ok=True)
        spare.rename(folder)
    found: dict[str, int] = {}
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
        with os.scandir(folder / name) as entries:
            found |= {f"{name}/{entry.name}": entry.inode() for entry in entries}
    return found


def _sound_files(folder: Path, mode: int, *, hashed: bool) -> dict[str, tuple[str, int]]:
    """The files of a generation, unchanged since its manifest was written and readable as `mode`: path → (digest, inode).

    `hashed`: also hash each file, since a bad disk, or a copy of a damaged folder, keeps the times.
    """
    found: dict[str, tuple[str, int]] = {}
    try:
        finished = (folder / MANIFEST).stat().st_mtime_ns
        here = f"{folder}/"
        for path, digest in read_manifest(folder)["files"].items():
            status = os.stat(here + path)  # noqa: PTH116  as in _write
            if status.st_mtime_ns > finished or not stat.S_ISREG(status.st_mode) or mode & ~status.st_mode:
                continue
            if not hashed or hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest:
                found[path] = (digest, status.st_ino)
    except (OSError, TrustError):
        return {}
    return found


def _swap_current(directory: Path, number: int) -> None:
    fresh = directory / "current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("generations") / str(number))
    current = directory / "current"
    if current.is_dir() and not current.is_symlink():
        # a folder in place of the link, from a copy that followed links: it blocks every refresh and nothing reads it
        current.rename(next(path for path in map(current.with_name, _asides()) if not path.exists()))
    fresh.replace(current)
    sync(directory)


def _asides() -> Iterator[str]:
    return (f"current.aside-{number}" for number in itertools.count(1))


def swap_timestamp(directory: Path, number: int, timestamp: bytes) -> None:
    """Replace the timestamp of a generation by a newer one for the same snapshot, durably."""
    try:
        write_atomic(directory / "generations" / str(number) / TIMESTAMP, timestamp)
    except OSError as error:
        raise _storage(directory, error) from error


def _storage(directory: Path, error: OSError) -> TrustError:
    where = f" ({error.filename})" if error.filename else ""
    return TrustError(
        f"the trust folder {directory} cannot be written: {error.strerror}{where}; its old content is unchanged",
        reason=Reason.STORAGE_FULL,
    )
