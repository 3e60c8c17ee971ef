"""Officers' acts: only for what was signed, by whom the file names, under that file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import DecodeError, HealthcodeError, Reason
from healthcode.wire import cbor
from healthcode.wire.cose import Context, decode_sign1, sign1
from province_node.officers.act import Act, Verb, sign_act, verify_act, verify_act_for
from tests.unit.province_node.officers.world import (
    DAY,
    HOME,
    LI,
    LI_ROW,
    NOW,
    REALM,
    WANG,
    WANG_ROW,
    officers_file,
)

FILE = officers_file()
SUBJECT = b"\x5a" * 32
ACT = Act(HOME, "li", Verb.PROPOSE, SUBJECT, FILE.digest, NOW, "request-1")


def test_an_act_is_read_back_as_it_was_signed() -> None:
    """An act verifies for its officer, verb and subject."""
    data = sign_act(LI, ACT, REALM)
    assert verify_act_for(data, FILE, officer="li", verb=Verb.PROPOSE, subject=SUBJECT) == ACT
    assert len(data) < 256


@pytest.mark.parametrize(
    ("officer", "verb", "subject"),
    [
        ("wang", Verb.PROPOSE, SUBJECT),
        ("li", Verb.WITHDRAW, SUBJECT),
        ("li", Verb.PROPOSE, b"\x5b" * 32),
    ],
)
def test_an_act_is_for_nothing_else(officer: str, verb: Verb, subject: bytes) -> None:
    """An approval of changed content, or another verb or officer, is refused."""
    with pytest.raises(HealthcodeError) as caught:
        verify_act_for(sign_act(LI, ACT, REALM), FILE, officer=officer, verb=verb, subject=subject)
    assert caught.value.reason is Reason.ACT_INVALID


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(sign_act(LI, ACT, "test-y"), Reason.ACT_INVALID, id="another realm"),
        pytest.param(sign_act(LI, replace(ACT, home="44"), REALM), Reason.ACT_INVALID, id="another home"),
        pytest.param(
            sign_act(LI, replace(ACT, officers=b"\0" * 32), REALM), Reason.ACT_INVALID, id="another file"
        ),
        pytest.param(sign_act(WANG, ACT, REALM), Reason.OFFICER_UNKNOWN, id="in another's name"),
        pytest.param(
            sign_act(LI, replace(ACT, verb=Verb.APPROVE), REALM), Reason.ROLE_MISSING, id="without the role"
        ),
        pytest.param(
            sign_act(LI, replace(ACT, time=FILE.expires), REALM),
            Reason.OFFICERS_FILE_EXPIRED,
            id="file expired",
        ),
        pytest.param(sign_act(LI, ACT, REALM)[:-1] + b"\0", Reason.ACT_INVALID, id="signature changed"),
        pytest.param(
            sign1(decode_sign1(sign_act(LI, ACT, REALM)).payload, LI, Context.QUESTION, REALM),
            Reason.ACT_INVALID,
            id="another kind",
        ),
    ],
)
def test_a_foreign_act_is_refused_by_name(data: bytes, reason: Reason) -> None:
    """Realm, home, officers file, key, role and time of an act must all be its own."""
    with pytest.raises(HealthcodeError) as caught:
        verify_act(data, FILE)
    assert caught.value.reason is reason


def test_a_removed_officers_key_signs_nothing_new_and_the_old_act_stays() -> None:
    """Under the next file, and after an appointment ended, the key is refused; what was signed before still verifies."""
    next_file = officers_file(WANG_ROW, version=3)
    with pytest.raises(HealthcodeError) as caught:
        verify_act(sign_act(LI, replace(ACT, officers=next_file.digest), REALM), next_file)
    assert caught.value.reason is Reason.OFFICER_UNKNOWN
    assert verify_act(sign_act(LI, ACT, REALM), FILE) == ACT
    brief = officers_file(LI_ROW.model_copy(update={"until": NOW + DAY}))
    late = replace(ACT, officers=brief.digest, time=NOW + DAY)
    with pytest.raises(HealthcodeError) as ended:
        verify_act(sign_act(LI, late, REALM), brief)
    assert ended.value.reason is Reason.OFFICER_REMOVED


@pytest.mark.parametrize(
    ("key", "value", "detail"),
    [
        (1, "", "act.text"),
        (3, 31, "act.text"),
        (6, -1, "act.time"),
        (-65541, [1, "PROPOSE", SUBJECT], "act.structure"),
        (-65541, [2, "PROPOSE", SUBJECT, FILE.digest], "act.version"),
        (-65541, [1, "DELETE", SUBJECT, FILE.digest], "act.verb"),
        (-65541, [1, "PROPOSE", SUBJECT[:31], FILE.digest], "act.digest"),
        (99, 0, "act.keys"),
    ],
)
def test_a_malformed_act_is_refused_by_detail(key: int, value: object, detail: str) -> None:
    """A signed act with a claim too many, or a value of another form, is no act."""
    claims: dict[int, object] = {
        1: "li",
        3: HOME,
        6: NOW,
        7: "r",
        -65541: [1, "PROPOSE", SUBJECT, FILE.digest],
    }
    data = sign1(cbor.encode(claims | {key: value}), LI, Context.OFFICER_ACT, REALM)
    with pytest.raises(HealthcodeError) as caught:
        verify_act(data, FILE)
    assert isinstance(caught.value, DecodeError)
    assert caught.value.detail == detail
