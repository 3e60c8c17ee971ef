"""Who is an officer now: the officers file that the published province.json names, from the node's folder."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, PermissionDeniedError, Reason
from healthcode.identity.role import Role
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_bounded
from healthcode.trust.format.json_files import OfficersReference
from province_node.officers.officers_file import (
    MAX_OFFICERS_BYTES,
    Officer,
    OfficersFile,
    decode_officers_file,
    verify_officers_file,
)

__all__ = ["AdmittedFiles", "Roster", "RosterFiles", "newest_reference", "open_roster", "read_roster_files"]

_REMEDY = "`province-node officers take FILE` puts the signed officers.json into the node's folder"

_ADMITTED = "admitted"
_MAX_ADMITTED_BYTES = 1024 * 1024
_DIGEST = re.compile("[0-9a-f]{64}")

_FILE_REASONS = frozenset({Reason.OFFICERS_FILE_UNSIGNED, Reason.OFFICERS_FILE_FOREIGN})


@dataclass(frozen=True, slots=True)
class RosterFiles:
    """The officers files of a folder, by digest; `faults` has a file that cannot be used, by its name."""

    files: Mapping[bytes, OfficersFile] = field(default_factory=lambda: MappingProxyType({}))
    faults: Mapping[str, HealthcodeError] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def newest(self) -> OfficersFile | None:
        """The file of the highest version."""
        return max(self.files.values(), key=lambda each: each.version, default=None)


def read_roster_files(folder: Path, *, realm: str, participant: str) -> RosterFiles:
    """Reads every officers file of `folder`: old ones are kept, because acts were signed under them."""
    files: dict[bytes, OfficersFile] = {}
    faults: dict[str, HealthcodeError] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            file = decode_officers_file(read_bounded(path, MAX_OFFICERS_BYTES))
            verify_officers_file(file, realm=realm, participant=participant)
        except HealthcodeError as error:
            faults[path.name] = error
        else:
            files[file.digest] = file
    return RosterFiles(MappingProxyType(files), MappingProxyType(faults))


def newest_reference(found: RosterFiles, published: OfficersReference | None) -> OfficersReference | None:
    """The reference for the next province.json: the newest usable file, or the published one if that is newer."""
    newest = found.newest
    if newest is None or (published is not None and newest.version <= published.version):
        return published
    return OfficersReference(version=newest.version, sha256=newest.digest)


class AdmittedFiles:
    """Which officers files were in force at this node, by digest: in `admitted` beside them, durable.

    A file names the authority that signs it, so that a forged one is complete as well. It was never in force.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _ADMITTED

    def read(self) -> frozenset[bytes]:
        """Every digest. Raises ConfigurationError if the file cannot be read."""
        if not self._path.exists():
            return frozenset()
        words = read_bounded(self._path, _MAX_ADMITTED_BYTES).decode("ascii", "replace").split()
        return frozenset(bytes.fromhex(each) for each in words if _DIGEST.fullmatch(each))

    def add(self, digest: bytes) -> None:
        """Adds one; durable when it returns."""
        known = self.read() | {digest}
        write_output(self._path, "".join(f"{each.hex()}\n" for each in sorted(known)).encode())


class Roster:
    """The officers of one province. A fault of the file refuses officers' acts, and nothing else.

    `published` is what province.json in force names. `read` reads the folder; `reload` calls it, in a thread.
    """

    def __init__(
        self,
        read: Callable[[], RosterFiles],
        published: Callable[[], OfficersReference | None],
        admitted: AdmittedFiles,
    ) -> None:
        self._read = read
        self._published = published
        self._admitted_files = admitted
        self._held = RosterFiles()
        self._admitted: frozenset[bytes] = frozenset()

    def reload(self) -> None:
        """Reads the folder again. Blocks."""
        self._held, self._admitted = self._read(), self._admitted | self._admitted_files.read()

    def note_admitted(self) -> None:
        """Notes durably that the published file, which the folder has, was in force. Blocks."""
        named = self._published()
        if named is not None and named.sha256 in self._held.files and named.sha256 not in self._admitted:
            self._admitted_files.add(named.sha256)
            self._admitted |= {named.sha256}

    @property
    def published(self) -> OfficersReference | None:
        """The officers file that province.json names."""
        return self._published()

    @property
    def is_published(self) -> bool:
        """Whether province.json names an officers file."""
        return self._published() is not None

    def current(self, now: int) -> OfficersFile:
        """The file in force. Raises PermissionDeniedError with OFFICERS_FILE_MISSING, _EXPIRED, _OLD, _UNSIGNED, _FOREIGN or _INVALID."""
        file = self.published_file()
        if now >= file.expires:
            raise PermissionDeniedError(
                f"officers file version {file.version} expired {rfc3339(file.expires)}: have the authority sign the next one, "
                "`province-node authority officers`",
                reason=Reason.OFFICERS_FILE_EXPIRED,
            )
        return file

    def published_file(self) -> OfficersFile:
        """The file that province.json names, expired or not. Raises as `current`."""
        named, held = self._published(), self._held
        if named is None:
            raise _refusal(
                Reason.OFFICERS_FILE_MISSING,
                "the published province.json names no officers file: there is no officer",
            )
        found = held.files.get(named.sha256)
        if found is not None and found.version == named.version:
            return found
        wanted = f"officers file version {named.version} is published"
        if any(each.version == named.version for each in held.files.values()):
            raise _refusal(
                Reason.OFFICERS_FILE_FOREIGN,
                f"{wanted}, and the node's file of that version has another content: {_REMEDY}",
            )
        for name, fault in held.faults.items():
            reason = fault.reason if fault.reason in _FILE_REASONS else Reason.OFFICERS_FILE_INVALID
            raise _refusal(reason, f"{wanted}, and {name} cannot be used: {fault.message}; {_REMEDY}")
        if held.newest is not None:
            newest = held.newest.version
            reason = Reason.OFFICERS_FILE_OLD if newest < named.version else Reason.OFFICERS_FILE_FOREIGN
            raise _refusal(reason, f"{wanted}, and the node has version {newest}: {_REMEDY}")
        raise _refusal(Reason.OFFICERS_FILE_MISSING, f"{wanted}, and the node does not have it: {_REMEDY}")

    def file_of(self, digest: bytes) -> OfficersFile | None:
        """The file of this digest, if it is or was in force here: an act is verified under the file it was signed under."""
        named = self._published()
        is_published = named is not None and hmac.compare_digest(named.sha256, digest)
        return self._held.files.get(digest) if is_published or digest in self._admitted else None

    def admit(self, name: str, public_key: str, role: Role | frozenset[Role], now: int) -> Officer:
        """The officer with this name, this public key (`sha256:…`, as `public_key_of` gives it) and one of these roles.

        Raises PermissionDeniedError as `current`, and with OFFICER_UNKNOWN, OFFICER_REMOVED or ROLE_MISSING.
        """
        file = self.current(now)
        officer = file.find(name)
        if officer is None or not hmac.compare_digest(f"sha256:{officer.spki_sha256.hex()}", public_key):
            if officer is None and self._was_officer(name, public_key, before=file.version):
                raise _refusal(Reason.OFFICER_REMOVED, f"{name} is an officer no more")
            raise _refusal(
                Reason.OFFICER_UNKNOWN,
                f"no officer {name} has this public key: a certificate does not make an officer, the authority's file does",
            )
        if now >= officer.until:
            raise _refusal(
                Reason.OFFICER_REMOVED, f"the appointment of {name} ended {rfc3339(officer.until)}"
            )
        wanted = frozenset({role}) if isinstance(role, Role) else role
        if not wanted & frozenset(officer.roles):
            raise _refusal(
                Reason.ROLE_MISSING, f"{name} needs the role {' or '.join(sorted(wanted))} for this"
            )
        return officer

    def _was_officer(self, name: str, public_key: str, *, before: int) -> bool:
        earlier = (
            file.find(name)
            for digest, file in self._held.files.items()
            if file.version < before and digest in self._admitted
        )
        return any(
            each is not None and hmac.compare_digest(f"sha256:{each.spki_sha256.hex()}", public_key)
            for each in earlier
        )


def open_roster(
    folder: Path, *, realm: str, participant: str, published: Callable[[], OfficersReference | None]
) -> Roster:
    """The roster of a node's officers folder, not read yet."""
    read = partial(read_roster_files, folder, realm=realm, participant=participant)
    return Roster(read, published, AdmittedFiles(folder))


def _refusal(reason: Reason, message: str) -> PermissionDeniedError:
    return PermissionDeniedError(message, reason=reason)
