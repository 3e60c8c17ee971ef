"""Issuing: what is refused, what is durable, and what a code then says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from healthcode.errors import HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.identity.document import decode_document, resident_id_check_digit
from healthcode.policy.words import LevelReason, Outcome
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import Retirement
from healthcode.verification.context import CheckContext
from healthcode.verification.verify import verify_code
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.code import decode_code
from healthcode.wire.holder_tag import HolderMatch, match_holder
from province_node.codes.code_maker import IssuedCode
from province_node.codes.order import IssueOrder
from province_node.store.records import LevelStatement
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.world.people import VALID_IDS, order


def test_a_code_verifies_and_says_what_was_ordered(world):
    """An issued code is VALID elsewhere, carries the masked name, and its tag fits the holder alone."""
    issued = world.issue_one()
    verdict = verify_code(world.view, issued.text, CheckContext(), NOW)
    assert (verdict.outcome, verdict.level, verdict.masked_name) == (Outcome.VALID, Level.GREEN, "张*三")
    claims = decode_code(issued.text, world.realm.realm).claims
    assert claims.index == issued.index
    assert match_holder(claims, decode_document("10", VALID_IDS[0])) is HolderMatch.MATCH
    assert match_holder(claims, decode_document("10", VALID_IDS[1])) is HolderMatch.MISMATCH


def test_a_green_code_fits_its_size_goal(world):
    """With tag and name a GREEN code has at most 221 characters: QR version 8 at level M."""
    assert len(world.issue_one().text) <= 221


@pytest.mark.parametrize(
    ("changes", "lives"),
    [
        ({}, 1800),
        ({"presentation": Presentation.PAPER}, 604_800),
        ({"validity_seconds": 60}, 60),
        ({"statement": LevelStatement(Level.RED, LevelReason.A8, "No. 7", NOW + 90)}, 90),
    ],
)
def test_a_code_lives_as_long_as_it_may(world, changes, lives):
    """The node's default, the order, or the end of the level, whichever is shortest, sets the expiry."""
    issued = world.issue_one(**changes)
    assert issued.expires_at - issued.issued_at == lives


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_a_life_beyond_the_policy_is_refused(world, seconds):
    """A LIVE code lives 1 to 3,600 seconds by the national policy."""
    with pytest.raises(InvalidInputError) as refused:
        world.issue_one(validity_seconds=seconds)
    assert "validity" in refused.value.fields


def test_presentations_have_keys_of_their_own(world):
    """PAPER codes are signed by the PAPER key, LIVE ones by the LIVE key."""
    kids = {world.issue_one().kid, world.issue_one(presentation=Presentation.PAPER).kid}
    assert kids == {
        key.kid
        for key in world.view.issuers["31"].keys.values()
        if key.purpose in {KeyPurpose.LIVE, KeyPurpose.PAPER}
    }


def test_no_code_outlives_the_published_lists(world):
    """Beyond covered_to of the acknowledged head there is NOT_COVERED, and before any head as well."""
    world.cover(days=3)
    with pytest.raises(PreconditionError) as refused:
        world.issue_one(presentation=Presentation.PAPER)
    assert refused.value.reason is Reason.NOT_COVERED
    world.issue_one()
    world.store = SqliteNodeStore(world.folder / "fresh.db")
    with pytest.raises(PreconditionError) as refused:
        world.issue_one()
    assert refused.value.reason is Reason.NOT_COVERED
    world.store.close()


def test_without_a_published_key_nothing_is_signed(world):
    """A killed key signs no more, and the error says what to do."""
    kid = world.issue_one().kid
    world.realm.kill("31", kid)
    world.realm.publish_live("31")
    world.refresh()
    with pytest.raises(PreconditionError, match="keys rotate") as refused:
        world.issue_one()
    assert refused.value.reason is Reason.KEY_UNAVAILABLE


def test_one_bad_order_refuses_itself_alone(world):
    """Each result is at the position of its order, errors too."""
    already = InvalidInputError("no document")
    orders: list[IssueOrder | HealthcodeError] = [
        order(),
        already,
        order(statement=LevelStatement(Level.RED)),
        order(VALID_IDS[1]),
    ]
    results = world.issue(orders).results
    assert [isinstance(result, IssuedCode) for result in results] == [True, False, False, True]
    assert results[1] is already


def test_a_holder_born_in_the_future_gets_no_code(world):
    """The order is refused by its field at the node, too, and the others are issued."""
    first17 = "11010520300101002"
    results = world.issue([order(first17 + resident_id_check_digit(first17)), order()]).results
    assert isinstance(results[0], InvalidInputError)
    assert results[0].reason is Reason.DOCUMENT_INVALID
    assert set(results[0].fields) == {"number"}
    assert first17 not in results[0].message
    assert isinstance(results[1], IssuedCode)


def test_one_holder_and_day_has_one_tag(world):
    """Codes of a holder carry the salt drawn first that day, also in one batch; another holder's differs."""
    results = world.issue([order(), order(), order(VALID_IDS[1])]).results
    later = world.issue_one()
    salts = [decode_code(code.text, world.realm.realm).claims.salt for code in (*results, later)]
    assert salts[0] == salts[1] == salts[3]
    assert salts[0] != salts[2]


def test_nothing_of_the_holder_is_stored_in_clear(world):
    """The database holds neither the id number nor the name, nor a plain hash of the number."""
    import hashlib

    world.issue_one()
    world.store.close()
    stored = b"".join(path.read_bytes() for path in world.folder.glob("node.db*"))
    number = VALID_IDS[0].encode()
    for secret in (
        number,
        "张小三".encode(),
        hashlib.sha256(number).digest(),
        hashlib.sha256(b"10" + number).digest(),
    ):
        assert secret not in stored
    world.store = SqliteNodeStore(world.folder / "node.db")


def test_a_wait_for_holder_tags_leaves_the_other_threads_free(world):
    """Two batches at once share the tag threads and both end, each with its own answer."""
    with ThreadPoolExecutor(2) as pool:
        orders = [order(number) for number in VALID_IDS]
        answers = list(pool.map(lambda name: world.issue(orders, name), ("one", "two")))
    assert [len(each.new) for each in answers] == [4, 4]


def leave(world, *, signs: int, codes: int) -> None:
    """The operators have announced that this province leaves."""
    retirement = Retirement(signs_until=signs, codes_until=codes)
    world.view = replace(world.view, retirements={"31": retirement})


def test_no_code_outlives_the_province_that_leaves(world):
    """A code of a province that leaves ends by the end of its codes, whatever was ordered."""
    leave(world, signs=NOW + 3600, codes=NOW + 86_400)
    paper = world.issue_one(presentation=Presentation.PAPER)
    assert paper.expires_at == NOW + 86_400
    assert world.issue_one().expires_at == NOW + 1800


def test_a_province_that_left_issues_nothing_and_says_why(world):
    """From when it signs no more on: ISSUER_RETIRED, not a key that is missing."""
    leave(world, signs=NOW, codes=NOW + 86_400)
    with pytest.raises(PreconditionError, match="this province leaves") as refused:
        world.issue_one()
    assert refused.value.reason is Reason.ISSUER_RETIRED
    leave(world, signs=NOW + 1, codes=NOW + 86_400)
    world.issue_one()


def test_holders_whose_codes_outlast_the_last_signature_are_listed(world):
    """Who can get no new code here once the present one ends, by pseudonym and presentation, page by page."""
    world.issue_one()
    for number in VALID_IDS[:3]:
        world.issue_one(document=decode_document("10", number), presentation=Presentation.PAPER)
    found = world.store.killing.codes_under(None, b"", 2, NOW + 86_400)
    rest = world.store.killing.codes_under(None, found[-1].holder, 2, NOW + 86_400)
    assert len({held.holder for held in [*found, *rest]}) == 3
    assert {held.presentation for held in [*found, *rest]} == {Presentation.PAPER}
    assert len(world.store.killing.codes_under(None, b"", 10, NOW)) == 4
