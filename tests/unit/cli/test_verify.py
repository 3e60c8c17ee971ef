"""`healthcode verify`: verdicts for people and for scripts, and an exit status that a gate can act on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import segno
from PIL import Image

from healthcode.clock import rfc3339
from healthcode.wire.claims import Level
from tests.simulator.realm import NOW, SimulatedRealm
from tests.unit.cli.command import NUMBER, Done, code, healthcode

AT = rfc3339(NOW + 60)


def verify(trust: Path, *arguments: str | Path, stdin: bytes = b"") -> Done:
    return healthcode("verify", "--trust", trust, "--at", AT, *arguments, stdin=stdin)


def test_a_green_code_passes(realm: SimulatedRealm, trust: Path) -> None:
    """Status 0, and the verdict as JSON has the fields of the SDK."""
    done = verify(trust, "--json", code(realm))
    assert done.status == 0
    verdict = done.json()
    assert (verdict["outcome"], verdict["decision"], verdict["level"]) == ("VALID", "PASS", "GREEN")
    assert (verdict["issuer"], verdict["realm"], verdict["masked_name"]) == ("31", realm.realm, "张*三")
    assert verdict["evaluated_at"] == AT


def test_a_person_reads_what_to_do(realm: SimulatedRealm, trust: Path) -> None:
    """The screen says decision, outcome, name, issuer and expiry."""
    done = verify(trust, code(realm))
    for word in ("PASS", "VALID", "GREEN", "张*三", "Shanghai", rfc3339(NOW + 1800)):
        assert word in done.out


def test_a_red_code_is_refused(realm: SimulatedRealm, trust: Path) -> None:
    """Status 1, with a remedy."""
    done = verify(trust, "--json", "--place", "HOSPITAL", code(realm, level=Level.RED))
    assert done.status == 1
    assert done.json()["decision"] == "REFUSE"
    assert done.json()["remedy"]


def test_a_pending_code_needs_a_closer_look(realm: SimulatedRealm, trust: Path) -> None:
    """Status 3."""
    done = verify(trust, "--json", code(realm, level=Level.PENDING))
    assert (done.status, done.json()["decision"]) == (3, "FURTHER_CHECK")


@pytest.mark.parametrize("text", ["hello", "CNHT1:", "CNHT1:garbage", "x" * 5000, "CNHC1:6BF", "né"])
def test_garbage_gets_a_verdict(trust: Path, text: str) -> None:
    """What is no code is MALFORMED with the detail, and refused; not an error of the command."""
    done = verify(trust, "--json", text)
    assert (done.status, done.json()["outcome"]) == (1, "MALFORMED")
    assert done.json()["detail"]


def test_reads_a_picture(realm: SimulatedRealm, trust: Path, tmp_path: Path) -> None:
    """A PNG of the code is as good as its text."""
    segno.make_qr(code(realm), error="M").save(str(tmp_path / "code.png"), scale=6)
    done = verify(trust, "--json", tmp_path / "code.png")
    assert (done.status, done.json()["decision"]) == (0, "PASS")


@pytest.mark.parametrize("scan", ["]Q1{}", "\x02{}\x03", "  {}\t", "\ufeff{}"])
def test_what_a_scanner_adds_refuses_nobody(realm: SimulatedRealm, trust: Path, scan: str) -> None:
    """A green code with a prefix, controls or white space around it passes, as an argument and as a line."""
    text = scan.format(code(realm))
    assert verify(trust, text).status == 0
    assert verify(trust, "-", stdin=text.encode() + b"\r\n").status == 0


def test_a_picture_without_a_code_decides_nothing(trust: Path, tmp_path: Path) -> None:
    """Status 3, as for anything undecided; a person is not refused for a blurred picture."""
    Image.new("L", (200, 200), 255).save(tmp_path / "blank.png")
    done = verify(trust, tmp_path / "blank.png")
    assert done.status == 3
    assert "no readable QR code" in done.err


def test_a_poster_beside_a_green_code_refuses_nobody(
    realm: SimulatedRealm, trust: Path, tmp_path: Path
) -> None:
    """Only the health code counts; the other QR code is told on standard error."""
    page = Image.new("L", (1400, 2600), 255)
    for row, text in enumerate(("https://example.org/venue", code(realm))):
        segno.make_qr(text, error="M").save(drawn := io.BytesIO(), kind="png", scale=8)
        with Image.open(drawn) as picture:
            page.paste(picture.convert("L"), (100, 100 + row * 1200))
    page.save(tmp_path / "both.png")
    done = verify(trust, "--json", tmp_path / "both.png")
    assert (done.status, done.json()["decision"]) == (0, "PASS")
    assert "does not count" in done.err


def test_a_picture_that_is_missing_is_no_refusal(trust: Path, tmp_path: Path) -> None:
    """Status 2: nobody was refused, the caller gave the wrong name."""
    done = verify(trust, tmp_path / "none.png")
    assert done.status == 2
    assert "none.png cannot be read: No such file" in done.err


@pytest.mark.parametrize("name", ["folder", "code.svg", "none.pdf"])
def test_what_is_no_picture_is_no_refusal(trust: Path, tmp_path: Path, name: str) -> None:
    """A folder, or a file of another kind, is the caller's slip: status 2, and nobody is refused."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "code.svg").write_text("<svg/>")
    done = verify(trust, tmp_path / name)
    assert done.status == 2
    assert name in done.err


def test_each_of_many_verdicts_says_which_it_is(realm: SimulatedRealm, trust: Path) -> None:
    """A person who reads panels sees the number of each line."""
    done = verify(trust, "-", stdin=b"garbage\n\n" + code(realm).encode())
    assert done.out.index("no. 1") < done.out.index("MALFORMED") < done.out.index("no. 2")


def test_reads_lines(realm: SimulatedRealm, trust: Path) -> None:
    """A line in, a line of JSON out, in order, numbered; the worst gives the status; a bad line ends nothing."""
    texts = [code(realm), "garbage", "", code(realm, level=Level.PENDING), "\udcff"]
    stdin = b"\n".join(text.encode("utf-8", errors="surrogateescape") for text in texts)
    done = verify(trust, "--json", "-", stdin=stdin)
    assert done.status == 1
    assert [(one["item_id"], one["outcome"]) for one in done.lines()] == [
        ("1", "VALID"),
        ("2", "MALFORMED"),
        ("3", "VALID"),
        ("4", "MALFORMED"),
    ]


def test_crlf_and_endless_lines(realm: SimulatedRealm, trust: Path) -> None:
    """Lines of Windows work; one of a megabyte is one MALFORMED line."""
    stdin = code(realm).encode() + b"\r\n" + b"A" * 1_000_000 + b"\r\n" + code(realm).encode()
    done = verify(trust, "--json", "-", stdin=stdin)
    assert [one["outcome"] for one in done.lines()] == ["VALID", "MALFORMED", "VALID"]


def test_nothing_on_standard_input_is_usage(trust: Path) -> None:
    """Status 2, not a pass."""
    assert verify(trust, "-", stdin=b"\n\n").status == 2


def test_the_holder_s_document_is_matched(realm: SimulatedRealm, trust: Path) -> None:
    """The number comes on standard input, never as an argument, and is nowhere in what is printed."""
    text = code(realm, tagged=True)
    done = verify(trust, "--json", "--document", "10", text, stdin=f"{NUMBER}\n".encode())
    assert (done.status, done.json()["holder_match"]) == (0, "MATCH")
    assert NUMBER not in done.out + done.err
    other = verify(trust, "--json", "--document", "10", text, stdin=b"440524188001010014\n")
    assert (other.json()["outcome"], other.json()["holder_match"]) == ("HOLDER_MISMATCH", "MISMATCH")


def test_a_mistyped_document_is_no_refusal(realm: SimulatedRealm, trust: Path) -> None:
    """A number whose check digit is wrong is the clerk's slip: status 2, and the number is not repeated."""
    done = verify(trust, "--document", "10", code(realm, tagged=True), stdin=b"110105194912310021\n")
    assert done.status == 2
    assert "110105194912310021" not in done.out + done.err


def test_document_and_lines_do_not_mix(trust: Path) -> None:
    """Both would come on standard input: usage."""
    assert verify(trust, "--document", "10", "-").status == 2


def test_a_mistyped_place_is_named(realm: SimulatedRealm, trust: Path) -> None:
    """Status 2 with the places that there are."""
    done = verify(trust, "--place", "HOSPTIAL", code(realm))
    assert done.status == 2
    assert "HOSPITAL" in done.err


def test_no_place_is_told(realm: SimulatedRealm, trust: Path) -> None:
    """The verdict warns, and names the place that decided; a place that was given has no warning, OTHER neither."""
    shown = verify(trust, code(realm)).out
    assert "NO_PLACE_TYPE" in shown
    assert "OTHER, GENERAL" in shown
    for place in ("other", "STATION"):
        verdict = verify(trust, "--json", "--place", place, "--area", "310115", code(realm)).json()
        assert verdict["warnings"] == []
        assert (verdict["place_type"], verdict["area_code"]) == (place.upper(), "310115")


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-21", "2026-11-21T08:00:00"])
def test_a_time_without_a_zone_is_refused(realm: SimulatedRealm, trust: Path, moment: str) -> None:
    """A local time would be taken for UTC by somebody: status 2."""
    assert healthcode("verify", "--trust", trust, "--at", moment, code(realm)).status == 2


def test_expired_at_another_time(realm: SimulatedRealm, trust: Path) -> None:
    """--at decides as of that time."""
    done = healthcode("verify", "--trust", trust, "--at", rfc3339(NOW + 1800), "--json", code(realm))
    assert (done.status, done.json()["outcome"]) == (1, "EXPIRED")


def test_without_a_trust_folder_says_what_to_do(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Status 2 and the command to run."""
    done = verify(tmp_path / "none", code(realm))
    assert done.status == 2
    assert "healthcode trust init" in done.err


def test_the_folder_is_found_by_the_environment(
    realm: SimulatedRealm, trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$HEALTHCODE_TRUST names the folder."""
    monkeypatch.setenv("HEALTHCODE_TRUST", str(trust))
    assert healthcode("verify", "--at", AT, code(realm)).status == 0


def test_a_damaged_folder_is_unavailable(realm: SimulatedRealm, trust: Path, tmp_path: Path) -> None:
    """Status 4: no trust to decide with is no verdict on anybody."""
    for name in ("trust.json", "root.json"):
        (tmp_path / name).write_bytes((trust / name).read_bytes())
    done = verify(tmp_path, "--json", code(realm))
    assert done.status == 4
    assert "error" in done.err
