"""Identity documents: good ones pass in every spelling, typing errors are found, numbers stay out of sight."""

import pytest

from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.document import (
    DocumentType,
    check_birth_date,
    decode_document,
    resident_id_check_digit,
)

RESIDENT_IDS = ["11010519491231002X", "440524188001010014", "810000199001010019", "830000199001010012"]


@pytest.mark.parametrize("number", RESIDENT_IDS)
def test_valid_resident_ids_are_accepted(number):
    """The published examples of GB 11643, 81, 82 and 83 included, are good."""
    assert decode_document("10", number).number == number


@pytest.mark.parametrize("number", RESIDENT_IDS)
def test_every_single_wrong_character_is_found(number):
    """Whichever one of the 18 characters is changed to whichever other, the number is refused."""
    for position in range(18):
        for other in "0123456789X":
            changed = number[:position] + other + number[position + 1 :]
            if changed != number:
                with pytest.raises(InvalidInputError):
                    decode_document("10", changed)


@pytest.mark.parametrize("number", RESIDENT_IDS)
def test_every_swap_of_neighbours_is_found(number):
    """Two neighbouring characters in the wrong order never pass."""
    for position in range(17):
        a, b = number[position : position + 2]
        if a != b:
            with pytest.raises(InvalidInputError):
                decode_document("10", number[:position] + b + a + number[position + 2 :])


@pytest.mark.parametrize(
    "first17",
    ["11010519490229001", "11010519491301001", "11010519490431001", "11010500000101001", "11010517991231001"],
)
def test_a_birth_date_that_does_not_exist_is_refused(first17):
    """A right check character does not save a date that never was."""
    with pytest.raises(InvalidInputError) as caught:
        decode_document("10", first17 + resident_id_check_digit(first17))
    assert "birth" in caught.value.fields["number"]


@pytest.mark.parametrize("area", ["00", "66", "99", "10", "84"])
def test_an_area_outside_gb_t_2260_is_refused(area):
    """The first two digits name a province; 00 and 66 are participants and no areas."""
    first17 = area + "010519491231002"
    with pytest.raises(InvalidInputError):
        decode_document("10", first17 + resident_id_check_digit(first17))


@pytest.mark.parametrize(
    "spelling",
    [
        "11010519491231002x",
        " 110105 19491231 002X ",
        "\uff11\uff11\uff10\uff11\uff10\uff15\uff11\uff19\uff14\uff19\uff11\uff12\uff13\uff11\uff10\uff10\uff12\uff38",
    ],
)
def test_spellings_of_one_number_are_one_document(spelling):
    """Lower case, spaces and full-width digits all give the same document, and so the same holder tag."""
    assert decode_document("10", spelling) == decode_document("10", "11010519491231002X")


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("14", "H12345678"),
        ("14", "M1234567890"),
        ("15", "12345678"),
        ("15", "0123456789"),
        ("16", "T1234567"),
        ("20", "E12345678"),
        ("34", "ABC123456789012"),
        ("34", "911124198108030024"),
        ("99", "AB-1234"),
    ],
)
def test_other_documents_are_accepted_by_shape(kind, number):
    """Each kind of document takes what its issuer prints."""
    assert decode_document(kind, number).type is DocumentType(kind)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("14", "A12345678"),
        ("14", "H123456789"),
        ("15", "123456789"),
        ("20", "E1234-5678"),
        ("20", "护照12345678"),
        ("34", "AB1234567890123"),
        ("99", "ABC"),
        ("10", ""),
        ("10", "1" * 10_000),
        ("10", "11010519491231002X\n0"),
        # NFKC leaves Arabic-Indic digits alone, and \d would take them
        ("15", "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668"),
    ],
)
def test_wrong_shapes_are_refused_by_field(kind, number):
    """A refusal names the field `number`."""
    with pytest.raises(InvalidInputError) as caught:
        decode_document(kind, number)
    assert caught.value.reason is Reason.DOCUMENT_INVALID
    assert set(caught.value.fields) == {"number"}


@pytest.mark.parametrize("kind", ["", "11", "100", "RESIDENT_ID", "x" * 1000])
def test_an_unknown_type_is_refused_by_field(kind):
    """A refusal names the field `document_type`."""
    with pytest.raises(InvalidInputError) as caught:
        decode_document(kind, RESIDENT_IDS[0])
    assert set(caught.value.fields) == {"document_type"}


def test_a_birth_date_in_the_future_is_refused_by_field():
    """By China's date, to the second; a passport has no birth date, and `decode_document` no clock."""
    first17 = "11010520261201002"
    card = decode_document("10", first17 + resident_id_check_digit(first17))
    midnight = parse_rfc3339("2026-12-01T00:00:00+08:00")
    check_birth_date(card, midnight)
    with pytest.raises(InvalidInputError, match="not in the future") as caught:
        check_birth_date(card, midnight - 1)
    assert caught.value.reason is Reason.DOCUMENT_INVALID
    assert set(caught.value.fields) == {"number"}
    assert first17 not in caught.value.message
    check_birth_date(decode_document("20", "E20301201"), midnight)


def test_no_number_in_repr_or_message():
    """Neither a good document's repr nor a refusal shows the number."""
    assert RESIDENT_IDS[0] not in repr(decode_document("10", RESIDENT_IDS[0]))
    with pytest.raises(InvalidInputError) as caught:
        decode_document("10", "110105194912310021")
    assert "110105" not in caught.value.message + str(caught.value.fields)


@pytest.mark.parametrize("first17", ["", "1" * 16, "1" * 18, "1" * 16 + "X", "\uff11" * 17])
def test_the_check_digit_wants_17_digits(first17):
    """Anything else is a typed error."""
    with pytest.raises(InvalidInputError):
        resident_id_check_digit(first17)
