"""What a scanner or a paste adds is taken away, and a code is never changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthcode.errors import DecodeError
from healthcode.wire.code import decode_code, sign_code
from healthcode.wire.scan import clean_scan, scan_fault

ADDED = {
    "spaces": (lambda code: f"  {code} ", "code.white_space"),
    "a line end": (lambda code: f"{code}\r\n", "code.white_space"),
    "a tab": (lambda code: f"\t{code}", "code.white_space"),
    "a wrapped line": (lambda code: f"{code[:76]}\r\n{code[76:]}", "code.white_space"),
    "STX and ETX": (lambda code: f"\x02{code}\x03", "code.white_space"),
    "a byte order mark": (lambda code: f"\ufeff{code}", "code.white_space"),
    "a full-width space": (lambda code: f"\u3000{code}", "code.white_space"),
    "a scanner's prefix": (lambda code: f"]Q1{code}", "code.scanner_prefix"),
    "a prefix and a line end": (lambda code: f"]Q3{code}\r", "code.scanner_prefix"),
    "capitals off": (lambda code: code.lower(), "code.lower_case"),
}


@pytest.mark.parametrize("what", ADDED)
def test_what_was_added_is_named_and_taken_away(what, claims, key):
    """The decoder refuses it by its word; cleaned, it is the code as it was printed."""
    code = sign_code(claims, key, "test-a")
    add, word = ADDED[what]
    with pytest.raises(DecodeError) as caught:
        decode_code(add(code), "test-a")
    assert caught.value.detail == word
    assert clean_scan(add(code)) == code


@pytest.mark.parametrize(
    "text", ["", " ", "]", "]Q", "]Q1", "https://example.org/Ab", "hello\n", "ıı", "]E0123"]
)
def test_what_is_no_code_gets_no_word_of_a_scan(text):
    """A poster's address is no code in small letters."""
    assert scan_fault(text) is None


@given(st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text):
    """What is clean stays as it is."""
    assert clean_scan(clean_scan(text)) == clean_scan(text)


def test_no_letter_becomes_one_of_a_code(claims, key):
    """A letter of another script that looks like ours stays wrong."""
    code = sign_code(claims, key, "test-a")
    assert clean_scan(code.replace("I", "ı").replace("S", "ſ")) != code or not {"I", "S"} & set(code)
