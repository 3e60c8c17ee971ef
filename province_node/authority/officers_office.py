"""The officers files in the authority's folder: the complete versions, and the next one while it is drafted and signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError, Reason
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_bounded
from healthcode.trust.format.authority_chain import link_mark
from healthcode.trust.format.json_files import OfficersReference
from province_node.authority.handover import AuthorityFile
from province_node.officers.appointment import new_officers_file, next_officers_file
from province_node.officers.officers_file import (
    MAX_OFFICERS_BYTES,
    OfficersFile,
    decode_officers_file,
    encode_officers_file,
    missing_officer_signatures,
    verify_officers_file,
)

__all__ = ["OFFICERS_FOLDER", "OfficersOffice", "check_officers_reference", "reference_to"]

OFFICERS_FOLDER = "officers"


@dataclass(frozen=True, slots=True)
class OfficersOffice:
    """The folder `officers` of one authority: N.json is version N, complete or not."""

    folder: Path
    authority: AuthorityFile

    def last_complete(self, *, before: int | None = None) -> OfficersFile | None:
        """The newest file with all signatures, below version `before`."""
        for version in sorted(self._versions(), reverse=True):
            if before is None or version < before:
                file = self._read(version)
                if missing_officer_signatures(file) == 0:
                    return file
        return None

    def draft(self, *, expires: int) -> OfficersFile:
        """The next file: the one that is being drafted, or a new one with the officers of the last complete one."""
        last, mine = self.last_complete(), self.authority
        version = 1 if last is None else last.version + 1
        if version in self._versions():
            return self._read(version)
        if last is None:
            return new_officers_file(mine.realm, mine.participant, mine.link, expires=expires)
        return next_officers_file(last, mine.link, expires=expires)

    def draft_after(self, published: OfficersFile, *, expires: int) -> OfficersFile:
        """The version after one that an earlier authority signed. All its officers are shown to the signers as new.

        Raises InvalidInputError for a file of another province, or when this folder has files of its own.
        """
        mine = self.authority
        if (published.realm, published.participant) != (mine.realm, mine.participant):
            raise InvalidInputError(
                f"that file is of participant {published.participant} in realm {published.realm}",
                reason=Reason.OFFICERS_FILE_FOREIGN,
            )
        if self._versions():
            raise InvalidInputError(f"{self.folder} has officers files: leave --after out, they go on")
        return next_officers_file(published, mine.link, expires=expires)

    def keep(self, file: OfficersFile) -> None:
        """Writes the file; durable when it returns. Raises InvalidInputError in place of another complete one."""
        self.check_mine(file)
        if file.version in self._versions():
            there = self._read(file.version)
            if missing_officer_signatures(there) == 0 and there.digest != file.digest:
                raise InvalidInputError(
                    f"officers file version {file.version} was signed here with another content: make the next version"
                )
        self.folder.mkdir(exist_ok=True, mode=0o700)
        write_output(self._path(file.version), encode_officers_file(file))

    def check_mine(self, file: OfficersFile) -> None:
        """Raises InvalidInputError (OFFICERS_FILE_FOREIGN) for a file of another province or authority."""
        mine = self.authority
        links = [mine.link] if mine.previous is None else [mine.link, mine.previous]
        if (file.realm, file.participant) != (mine.realm, mine.participant) or link_mark(file.link) not in {
            link_mark(each) for each in links
        }:
            raise InvalidInputError(
                f"officers file version {file.version} names another authority than participant {mine.participant}'s in "
                f"realm {mine.realm}: do not sign it, and find out who made it",
                reason=Reason.OFFICERS_FILE_FOREIGN,
            )

    def _versions(self) -> set[int]:
        return {
            int(path.stem)
            for path in self.folder.glob("*.json")
            if path.stem.isascii() and path.stem.isdigit()
        }

    def _path(self, version: int) -> Path:
        return self.folder / f"{version}.json"

    def _read(self, version: int) -> OfficersFile:
        return decode_officers_file(read_bounded(self._path(version), MAX_OFFICERS_BYTES))


def reference_to(file: OfficersFile) -> OfficersReference:
    """How province.json names this file."""
    return OfficersReference(version=file.version, sha256=file.digest)


def check_officers_reference(
    office: OfficersOffice,
    before: OfficersReference | None,
    after: OfficersReference | None,
    file: OfficersFile | None,
) -> None:
    """Whether a key holder may sign a province.json that names `after`, with the officers file that they were given.

    A node cannot appoint: another officers file than before is signed only with the file itself, which the authority
    signed. Raises ConfigurationError, InvalidInputError, SignatureError.
    """
    if before is not None and (after is None or after.version < before.version):
        raise InvalidInputError(
            f"officers file version {before.version} is published, and this would go back to "
            f"{'none' if after is None else f'version {after.version}'}: sign the next version instead",
            reason=Reason.OFFICERS_FILE_OLD,
        )
    if file is None:
        if after is not None and after != before:
            raise ConfigurationError(
                f"this appoints the officers of officers file version {after.version}: name that file with --officers, to "
                "see who they are before you sign"
            )
        return
    office.check_mine(file)
    verify_officers_file(file, realm=office.authority.realm, participant=office.authority.participant)
    if after != reference_to(file):
        named = (
            "no officers file" if after is None else f"version {after.version}, sha256:{after.sha256.hex()}"
        )
        raise InvalidInputError(
            f"this names {named}, and --officers has version {file.version}, sha256:{file.digest.hex()}",
            reason=Reason.OFFICERS_FILE_FOREIGN,
        )
