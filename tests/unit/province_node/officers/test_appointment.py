"""Appointments: the next officers file, told in words to those who sign it."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, DecodeError, HealthcodeError, InvalidInputError, Reason
from healthcode.identity.role import Role
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import OfficersReference
from province_node.authority.handover import AuthorityFile
from province_node.authority.officers_office import OfficersOffice, check_officers_reference, reference_to
from province_node.officers.appointment import appoint, describe_officers, next_officers_file, remove
from province_node.officers.officer_card import OfficerCard, decode_card, encode_card
from province_node.officers.officers_file import OfficersFile, sign_officers_file
from tests.unit.province_node.officers.world import (
    DAY,
    HOME,
    KEYS,
    LI,
    LINK,
    NOW,
    REALM,
    officers_file,
    spki,
)

CARD = OfficerCard(
    realm=REALM,
    participant=HOME,
    name="zhao",
    spki_sha256=spki("zhao"),
    sign_key=PrivateKey(b"z" * 32).public,
)
GOOD = officers_file()


def appointed(file: OfficersFile, card: OfficerCard = CARD, unit: str = "Port office") -> OfficersFile:
    return appoint(file, card, roles=frozenset({Role.DESK}), unit=unit, until=NOW + 9 * DAY, now=NOW)


@pytest.fixture
def office(tmp_path: Path) -> OfficersOffice:
    return OfficersOffice(tmp_path / "officers", AuthorityFile(realm=REALM, participant=HOME, link=LINK))


def test_signers_read_who_comes_goes_and_changes() -> None:
    """One sentence with counts, then each person; who stays is counted only."""
    file = next_officers_file(GOOD, LINK, expires=NOW + 50 * DAY)
    assert describe_officers(GOOD, file)[0].startswith(
        "officers file version 3 (compared with version 2): 0 come, 0 go, 0 change, 2 stay"
    )
    file = appointed(remove(file, "li"))
    moved = file.officers[0].model_copy(update={"unit": "Another office"})
    lines = describe_officers(GOOD, file.model_copy(update={"officers": (moved, file.officers[1])}))
    assert "1 come, 1 go, 1 change, 0 stay" in lines[0]
    assert [line[0] for line in lines[1:]] == ["+", "-", "~"]
    assert lines[1].startswith("+ zhao: DESK, Port office")
    assert lines[3] == "~ wang: unit Health Commission  becomes  Another office"


def test_an_impossible_appointment_is_refused() -> None:
    """An end that is past, another's key, an unknown name, and a card of another province."""
    with pytest.raises(InvalidInputError):
        appoint(GOOD, CARD, roles=frozenset({Role.DESK}), unit="x", until=NOW, now=NOW)
    with pytest.raises(DecodeError, match="sign key twice: li, zhao"):
        appointed(GOOD, CARD.model_copy(update={"sign_key": LI.public}))
    with pytest.raises(InvalidInputError, match="no officer is named zhao"):
        remove(GOOD, "zhao")
    with pytest.raises(InvalidInputError, match="participant 31"):
        decode_card(encode_card(CARD), realm=REALM, participant="44")


def test_the_folder_drafts_from_the_last_complete_file(office: OfficersOffice) -> None:
    """An unfinished draft goes on; a complete version is never replaced by another content."""
    office.keep(GOOD)
    draft = appointed(office.draft(expires=NOW + 50 * DAY))
    assert (draft.version, len(draft.officers), draft.signatures) == (3, 3, ())
    office.keep(sign_officers_file(draft, KEYS[:1]))
    assert office.draft(expires=0).digest == draft.digest
    assert office.last_complete() == GOOD
    office.keep(sign_officers_file(draft, KEYS[:2]))
    assert office.draft(expires=NOW).version == 4
    with pytest.raises(InvalidInputError, match="another content"):
        office.keep(remove(draft, "zhao"))


def test_a_node_cannot_appoint(office: OfficersOffice) -> None:
    """Key holders sign another officers file only with the file itself, complete and of their own authority."""
    keys = tuple(PrivateKey(bytes([each]) * 32) for each in (51, 52))
    made_up = new_link(HOME, keys, 2, REALM, created=NOW)
    forged = sign_officers_file(officers_file(version=3, signers=0, link=made_up), keys)
    newer = officers_file(version=3)

    def refused(before: OfficersReference | None, after: OfficersReference | None, file: OfficersFile | None):
        with pytest.raises(HealthcodeError) as caught:
            check_officers_reference(office, before, after, file)
        return caught.value

    old, new = reference_to(GOOD), reference_to(newer)
    assert isinstance(refused(old, new, None), ConfigurationError)
    assert isinstance(refused(None, old, None), ConfigurationError)
    assert refused(old, reference_to(forged), forged).reason is Reason.OFFICERS_FILE_FOREIGN
    assert refused(old, new, GOOD).reason is Reason.OFFICERS_FILE_FOREIGN
    assert refused(old, new, officers_file(version=3, signers=1)).reason is Reason.OFFICERS_FILE_UNSIGNED
    assert refused(new, old, GOOD).reason is Reason.OFFICERS_FILE_OLD
    assert refused(new, None, None).reason is Reason.OFFICERS_FILE_OLD
    check_officers_reference(office, old, new, newer)
    check_officers_reference(office, old, old, None)


def test_a_new_authority_goes_on_from_the_published_file(tmp_path: Path, office: OfficersOffice) -> None:
    """Versions never begin again; the signers see every officer, since nothing here vouches for the earlier file."""
    keys = tuple(PrivateKey(bytes([each]) * 32) for each in (61, 62))
    link = new_link(HOME, keys, 2, REALM, created=NOW, previous=LINK)
    successor = OfficersOffice(
        tmp_path / "new", AuthorityFile(realm=REALM, participant=HOME, link=link, previous=LINK)
    )
    file = successor.draft_after(GOOD, expires=NOW + DAY)
    assert (file.version, file.officers, file.signatures) == (3, GOOD.officers, ())
    assert "2 come" in describe_officers(successor.last_complete(), file)[0]
    successor.keep(sign_officers_file(file, keys))
    assert successor.draft(expires=NOW).version == 4
    with pytest.raises(InvalidInputError, match="has officers files"):
        successor.draft_after(GOOD, expires=NOW)
    with pytest.raises(InvalidInputError, match="participant 44"):
        office.draft_after(officers_file(participant="44"), expires=NOW)
    # until then it may name the file that the authority before it signed
    other = OfficersOffice(tmp_path / "other", successor.authority)
    check_officers_reference(other, None, reference_to(GOOD), GOOD)
