"""The roster: whatever is wrong with the officers file is named, and an officer is a public key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from healthcode.errors import PermissionDeniedError, Reason
from healthcode.identity.role import Role
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import OfficersReference
from province_node.officers.officers_file import (
    OfficersFile,
    encode_officers_file,
    missing_officer_signatures,
    sign_officers_file,
)
from province_node.officers.roster import Roster, newest_reference, open_roster, read_roster_files
from tests.unit.province_node.officers.world import (
    DAY,
    HOME,
    LI_ROW,
    NOW,
    REALM,
    WANG_ROW,
    officers_file,
    public_key,
    reference,
)

GOOD = officers_file()


def _roster(folder: Path, named: OfficersReference | None, *files: bytes) -> Roster:
    for number, data in enumerate(files):
        (folder / f"{number}.json").write_bytes(data)
    roster = open_roster(folder, realm=REALM, participant=HOME, published=lambda: named)
    roster.reload()
    roster.note_admitted()
    return roster


def _reason(call: Callable[[], object]) -> Reason:
    with pytest.raises(PermissionDeniedError) as caught:
        call()
    return caught.value.reason


def _data(file: OfficersFile) -> bytes:
    return encode_officers_file(file)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param((), Reason.OFFICERS_FILE_MISSING, id="missing"),
        pytest.param((_data(officers_file(version=1)),), Reason.OFFICERS_FILE_OLD, id="older"),
        pytest.param((_data(officers_file(version=3)),), Reason.OFFICERS_FILE_FOREIGN, id="not published"),
        pytest.param((_data(officers_file(LI_ROW)),), Reason.OFFICERS_FILE_FOREIGN, id="other content"),
        pytest.param(
            (_data(officers_file(signers=1)),), Reason.OFFICERS_FILE_UNSIGNED, id="one signature of two"
        ),
        pytest.param(
            (_data(officers_file(participant="44")),), Reason.OFFICERS_FILE_FOREIGN, id="another province"
        ),
        pytest.param((_data(officers_file(realm="cn")),), Reason.OFFICERS_FILE_FOREIGN, id="another realm"),
        pytest.param((_data(GOOD)[:-9],), Reason.OFFICERS_FILE_INVALID, id="truncated"),
        pytest.param((b" " * 300_000,), Reason.OFFICERS_FILE_INVALID, id="too large"),
    ],
)
def test_a_bad_file_refuses_officers_by_name(
    tmp_path: Path, files: tuple[bytes, ...], reason: Reason
) -> None:
    """Each fault of the file has its own stable reason, and makes nobody an officer."""
    roster = _roster(tmp_path, reference(GOOD), *files)
    assert _reason(lambda: roster.current(NOW)) is reason
    assert _reason(lambda: roster.admit("li", public_key("li"), Role.HEALTH_OFFICER, NOW)) is reason


def test_a_file_counts_until_it_expires_and_while_it_is_published(tmp_path: Path) -> None:
    """The published file admits its officers up to its last second; without a published one there are none."""
    roster = _roster(tmp_path, reference(GOOD), _data(GOOD))
    assert roster.admit("li", public_key("li"), Role.HEALTH_OFFICER, GOOD.expires - 1) == LI_ROW
    assert _reason(lambda: roster.current(GOOD.expires)) is Reason.OFFICERS_FILE_EXPIRED
    assert _reason(lambda: _roster(tmp_path, None).current(NOW)) is Reason.OFFICERS_FILE_MISSING


def test_an_officer_is_a_public_key_with_a_role(tmp_path: Path) -> None:
    """A name with another key, a role that is not theirs, and an ended appointment are each refused by name."""
    brief = LI_ROW.model_copy(update={"until": NOW + DAY})
    file = officers_file(brief, WANG_ROW)
    roster = _roster(tmp_path, reference(file), _data(file))

    def refused(name: str, key: str, role: Role, now: int = NOW) -> Reason:
        return _reason(lambda: roster.admit(name, public_key(key), role, now))

    assert refused("li", "minted by IT", Role.HEALTH_OFFICER) is Reason.OFFICER_UNKNOWN
    assert refused("zhao", "li", Role.HEALTH_OFFICER) is Reason.OFFICER_UNKNOWN
    assert refused("li", "li", Role.APPROVER) is Reason.ROLE_MISSING
    assert refused("li", "li", Role.HEALTH_OFFICER, NOW + DAY) is Reason.OFFICER_REMOVED


def test_a_removed_officer_is_told_apart_and_the_old_file_is_kept(tmp_path: Path) -> None:
    """Who was in an earlier file is OFFICER_REMOVED; acts signed under it still find that file by its digest."""
    before, after = officers_file(version=1), officers_file(WANG_ROW)
    _roster(tmp_path, reference(before), _data(before))
    roster = _roster(tmp_path, reference(after), _data(before), _data(after))
    removed = _reason(lambda: roster.admit("li", public_key("li"), Role.HEALTH_OFFICER, NOW))
    assert removed is Reason.OFFICER_REMOVED
    assert roster.file_of(before.digest) == before
    assert roster.file_of(after.digest) == after
    assert roster.file_of(b"\0" * 32) is None


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_forged_file_under_a_made_up_authority_never_counts(tmp_path: Path, version: int) -> None:
    """Whoever writes to the folder can sign a whole file with their own keys: no act counts under it, and it displaces none."""
    keys = tuple(PrivateKey(bytes([each]) * 32) for each in (41, 42, 43))
    link = new_link(HOME, keys, 2, REALM, created=NOW)
    draft = officers_file(LI_ROW, version=version, signers=0, link=link)
    forged = sign_officers_file(draft, keys)
    assert missing_officer_signatures(forged) == 0
    roster = _roster(tmp_path, reference(GOOD), _data(GOOD), _data(forged))
    assert roster.file_of(forged.digest) is None
    assert roster.current(NOW) == GOOD
    assert roster.file_of(GOOD.digest) == GOOD


def test_a_changed_folder_counts_after_a_reload(tmp_path: Path) -> None:
    """The node takes a new file without a restart, and a request names the newest usable one and never an older."""
    roster = _roster(tmp_path, reference(GOOD))
    assert _reason(lambda: roster.current(NOW)) is Reason.OFFICERS_FILE_MISSING
    (tmp_path / "2.json").write_bytes(_data(GOOD))
    roster.reload()
    assert roster.current(NOW) == GOOD
    found = read_roster_files(tmp_path, realm=REALM, participant=HOME)
    assert newest_reference(found, None) == reference(GOOD)
    newer = reference(officers_file(version=3))
    assert newest_reference(found, newer) == newer
