"""Taking evidence: each item has its own result, and a refusal names the field and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import InvalidInputError, PermissionDeniedError, Reason, UnavailableError
from healthcode.policy.levels.evidence import MIGRATED_SOURCE, EvidenceKind, Finding, TestMethod
from province_node.people.submission import SubmitUseCase
from province_node.store.people_records import MAX_ITEMS, MAX_REVISIONS, Source, SourceState
from tests.unit.province_node.people.persons import AREA, DAY, HOUR, KEY, OTHER, Persons, word


def test_an_item_is_accepted_once(persons: Persons) -> None:
    """Again it is a duplicate; with other content a conflict that names the next revision; a higher revision is new."""
    draft = persons.draft()
    assert persons.submit(draft) == ["ACCEPTED"]
    assert persons.submit(draft) == ["DUPLICATE"]
    refused = persons.refusal(replace(draft, finding=Finding.SECOND))
    assert refused.reason is Reason.EVIDENCE_CONFLICT
    assert "revision 2" in refused.message
    assert persons.submit(replace(draft, finding=Finding.SECOND, revision=2)) == ["ACCEPTED"]


def test_a_bad_item_changes_no_other(persons: Persons) -> None:
    """The results are in the order of the items."""
    drafts = [persons.draft("a"), persons.draft("b", revision=0), persons.draft("c"), persons.draft("a")]
    assert persons.submit(*drafts) == ["ACCEPTED", "EVIDENCE_INVALID", "ACCEPTED", "DUPLICATE"]
    assert persons.store.evidence.count_evidence() == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"record": ""}, "record"),
        ({"record": "x" * 65}, "record"),
        ({"record": "号"}, "record"),
        ({"revision": 0}, "revision"),
        ({"kind": None}, "kind"),
        ({"unknown_words": ("finding",), "finding": None}, "finding"),
        ({"finding": None}, "finding"),
        ({"finding": Finding.POSITIVE}, "finding"),
        ({"method": TestMethod.NUCLEIC}, "method"),
        ({"kind": EvidenceKind.TEST, "finding": Finding.NEGATIVE}, "method"),
        ({"kind": EvidenceKind.VACCINATION}, "finding"),
        ({"observed_at": None}, "observed_at"),
        ({"observed_at": -1}, "observed_at"),
        ({"until": 1}, "until"),
        ({"until": 253_402_300_800}, "until"),
        ({"area": AREA}, "area_code"),
        ({"stay_to": 1}, "stay_to"),
        ({"laboratory": "一号"}, "laboratory"),
        ({"instrument": "号" * 50}, "instrument"),
        ({"instrument": "a\nb"}, "instrument"),
        ({"instrument": "a\ufffdb"}, "instrument"),
        ({"dose": 1}, "dose"),
    ],
)
def test_a_wrong_field_is_named(persons: Persons, changes: dict[str, object], field: str) -> None:
    """In the message and in the fields of the error."""
    refused = persons.refusal(replace(persons.draft(), **changes))
    assert (refused.reason, list(refused.fields)) == (Reason.EVIDENCE_INVALID, [field])
    assert field in refused.message
    assert persons.store.evidence.count_evidence() == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"area": ""}, "area_code"),
        ({"area": "31011"}, "area_code"),
        ({"area": "990115"}, "area_code"),
        ({"area": "000000"}, "area_code"),
        ({"area": "660000"}, "area_code"),
        ({"stay_from": None}, "stay_from"),
        ({"stay_to": None}, "stay_to"),
        ({"stay_to": 1000}, "stay_to"),
        ({"observed_at": 1000}, "observed_at"),
        ({"until": 1000}, "until"),
    ],
)
def test_a_wrong_stay_is_refused(persons: Persons, changes: dict[str, object], field: str) -> None:
    """Without its end, with an area of no province, or with an end before its beginning."""
    stay = persons.stay("s", persons.now - HOUR, persons.now)
    assert persons.submit(stay) == ["ACCEPTED"]
    refused = persons.refusal(replace(stay, record="t", **changes))
    assert (refused.reason, list(refused.fields)) == (Reason.EVIDENCE_INVALID, [field])


def test_the_future_begins_behind_the_skew(persons: Persons) -> None:
    """A clock may be ahead by the policy's skew; a second more is in the future, for a test and for a stay."""
    edge = persons.now + 300
    assert persons.submit(persons.draft("a", observed_at=edge)) == ["ACCEPTED"]
    assert persons.refusal(persons.draft("b", observed_at=edge + 1)).reason is Reason.EVIDENCE_IN_FUTURE
    assert persons.submit(persons.stay("c", persons.now, edge)) == ["ACCEPTED"]
    assert persons.refusal(persons.stay("d", persons.now, edge + 1)).reason is Reason.EVIDENCE_IN_FUTURE


def test_a_bad_document_is_refused_as_such(persons: Persons) -> None:
    """With the error of its decoding."""
    wrong = InvalidInputError("n", reason=Reason.DOCUMENT_INVALID, fields={"document.number": "w"})
    assert persons.refusal(persons.draft(document=wrong)) is wrong


def test_what_a_rule_needs_is_asked_for(persons: Persons) -> None:
    """An entrant in quarantine without a port of entry could be no ground; a withdrawal needs nothing."""
    draft = persons.draft(kind=EvidenceKind.QUARANTINE_ORDER, finding=Finding.ENTRANT, instrument="1")
    refused = persons.refusal(draft)
    assert list(refused.fields) == ["port_of_entry"]
    assert "L-A5-1" in refused.message
    assert persons.submit(replace(draft, port_of_entry="浦东")) == ["ACCEPTED"]
    assert persons.submit(replace(draft, revision=2, withdrawn=True)) == ["ACCEPTED"]


def test_an_order_is_never_a_sources(persons: Persons) -> None:
    """Also for a source that is registered for every kind."""
    refused = persons.refusal(persons.draft(kind=EvidenceKind.ORDER, finding=Finding.RED))
    assert refused.reason is Reason.KIND_FORBIDDEN


def test_a_source_sends_its_own_kinds(persons: Persons) -> None:
    """What it may send stands in the refusal."""
    persons.store.sources.add_source(Source("lab", KEY, frozenset({EvidenceKind.TEST}), "labs"), persons.now)
    refused = persons.refusal(persons.draft())
    assert (refused.reason, refused.fields) == (
        Reason.KIND_FORBIDDEN,
        {"kind": "source 'lab' may send TEST"},
    )
    assert persons.submit(persons.negative("t", persons.now)) == ["ACCEPTED"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("nobody", KEY),
        ("lab", "sha256:" + "b" * 64),
        ("lab", ""),
        (MIGRATED_SOURCE, ""),
        (MIGRATED_SOURCE, KEY),
    ],
)
def test_only_a_registered_name_with_its_key_is_a_source(persons: Persons, name: str, key: str) -> None:
    """Each item is refused; nobody is the source of an upgrade."""
    persons.store.sources.add_source(Source(MIGRATED_SOURCE, "", frozenset(EvidenceKind), ""), persons.now)
    results = persons.submitting.submit(name, key, [persons.draft(), persons.draft("b")])
    assert [word(each) for each in results] == ["SOURCE_UNKNOWN"] * 2
    with pytest.raises(PermissionDeniedError):
        persons.withdrawing.count(name, key, ["r-1"])


def test_a_suspended_source_is_refused_at_once(persons: Persons) -> None:
    """From the next batch on; what it sent before stays."""
    assert persons.submit(persons.draft()) == ["ACCEPTED"]
    persons.store.sources.set_source_state("lab", SourceState.SUSPENDED, persons.now)
    assert persons.submit(persons.draft("b")) == ["SOURCE_SUSPENDED"]
    persons.work()
    assert persons.level().level == "RED"


def test_a_node_with_a_wrong_clock_takes_nothing(persons: Persons) -> None:
    """It could not date it."""
    persons.is_clock_wrong = True
    with pytest.raises(UnavailableError):
        persons.submit(persons.draft())
    assert persons.store.evidence.count_evidence() == 0


def test_the_database_has_no_number_of_a_record(persons: Persons) -> None:
    """A source may use an id number as the number of its record: only a keyed digest is stored."""
    number = "11010519491231002X"
    persons.take(persons.draft(number))
    stored = b"".join(each.read_bytes() for each in persons.world.folder.glob("node.db*"))
    assert b"lab" in stored
    assert number.encode() not in stored
    assert persons.submit(persons.draft(number)) == ["DUPLICATE"]


def test_evidence_is_withdrawn_by_the_source_that_sent_it(persons: Persons) -> None:
    """By its own numbers; another source has none of them."""
    persons.take(persons.draft("a"), persons.draft("b", document=OTHER))
    persons.store.sources.add_source(Source("lab-2", KEY, frozenset(EvidenceKind), "labs"), persons.now)
    assert persons.withdrawing.count("lab-2", KEY, ["a", "b"]).unknown == 2
    withdrawn = persons.withdrawing.withdraw("lab", KEY, ["a", "a", "c"], persons.world.request("w"))
    assert (withdrawn.newly, withdrawn.unknown) == (1, 1)
    persons.work()
    assert (persons.level().level, persons.level(OTHER).level) == ("GREEN", "RED")


def test_a_withdrawal_needs_a_selection(persons: Persons) -> None:
    """Neither none nor too many."""
    for records in ([], ["r"] * 1001, [""]):
        with pytest.raises(InvalidInputError):
            persons.withdrawing.count("lab", KEY, records)


def test_evidence_is_taken_under_format_1(world) -> None:
    """Participant 00 imports its evidence before levels are derived; nothing is derived yet."""
    before = world.view
    persons = Persons(world)
    world.view = before
    assert persons.submit(persons.draft(observed_at=persons.now - DAY)) == ["ACCEPTED"]
    persons.work()
    assert (persons.state().is_due, persons.state().sequence) == (True, 0)
    assert isinstance(persons.submitting, SubmitUseCase)
    persons.set_policy()
    persons.work()
    assert persons.level().level == "RED"


def test_a_source_cannot_fill_a_holder_without_end(persons: Persons) -> None:
    """Beyond the limits an item is refused with the field; a withdrawal, another document and a repetition are not."""
    full = persons.draft("full")
    revisions = [replace(full, revision=1 + 2 * number) for number in range(MAX_REVISIONS)]
    assert set(persons.submit(*revisions)) == {"ACCEPTED"}
    last = 2 * MAX_REVISIONS
    refused = persons.refusal(replace(full, revision=last))
    assert (refused.reason, list(refused.fields)) == (Reason.EVIDENCE_INVALID, ["revision"])
    assert persons.submit(revisions[0]) == ["DUPLICATE"]
    assert persons.submit(replace(full, revision=2, withdrawn=True)) == ["EVIDENCE_INVALID"]
    assert persons.submit(replace(full, revision=last, withdrawn=True)) == ["ACCEPTED"]
    assert persons.submit(replace(full, revision=last + 1, withdrawn=True)) == ["EVIDENCE_INVALID"]

    room = MAX_ITEMS - MAX_REVISIONS - 1
    assert set(persons.submit(*(persons.draft(str(each)) for each in range(room)))) == {"ACCEPTED"}
    refused = persons.refusal(persons.draft("more"))
    assert (refused.reason, list(refused.fields)) == (Reason.EVIDENCE_INVALID, ["document.number"])
    assert persons.submit(persons.draft("1", revision=2, withdrawn=True)) == ["ACCEPTED"]
    assert persons.submit(persons.draft("more", document=OTHER)) == ["ACCEPTED"]
    persons.store.sources.add_source(Source("cdc", KEY, frozenset(EvidenceKind), "cdc"), persons.now)
    assert [word(each) for each in persons.submitting.submit("cdc", KEY, [persons.draft("more")])] == [
        "ACCEPTED"
    ]
