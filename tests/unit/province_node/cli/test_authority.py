"""`province-node authority`: what each holder sees before signing, and what is refused before anybody types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from healthcode.clock import SystemClock
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import ProvinceFile
from healthcode.trust.format.key_possession import new_province_key, prove_key
from province_node.authority.request import ProvinceRequest, encode_request
from tests.simulator.realm import PEM
from tests.unit.province_node.cli.command import command

REALM = "test-authority"


def request(path: Path, version: int, keys: int) -> Path:
    now = SystemClock().now()
    live = tuple(
        new_province_key(
            "31", KeyPurpose.LIVE, PrivateKey(bytes([n]) * 32), REALM, not_before=now, not_after=now + 86_400
        )
        for n in range(1, keys + 1)
    )
    document = ProvinceFile(
        realm=REALM, participant="31", keys=live, tls_ca=(PEM,), endpoints={"federation": "127.0.0.1:1"}
    )
    head = PrivateKey(b"h" * 32)
    asked = ProvinceRequest(
        realm=REALM,
        participant="31",
        version=version,
        live_public=head.public,
        live_possession=prove_key("31", KeyPurpose.HEAD, head, REALM),
        created=now,
        province=document,
    )
    path.write_bytes(encode_request(asked))
    return path


@pytest.fixture
def office(tmp_path: Path) -> Path:
    folder = tmp_path / "authority"
    assert (
        command(
            "authority", "init", "--dir", folder, "--participant", "31", "--realm", REALM, "--development"
        )[0]
        == 0
    )
    return folder


def sign(office: Path, *arguments: str | Path) -> tuple[Any, str]:
    status, out, err = command("authority", "sign", "--dir", office, "--json", *arguments)
    assert status == 0, err
    return json.loads(out), " ".join(err.split())


def test_the_second_holder_sees_what_the_first_saw(office: Path, tmp_path: Path) -> None:
    """The difference is to the last completed version, not to the half-signed one; and one digest is read out."""
    asked, bundle = request(tmp_path / "r1.json", 1, 1), tmp_path / "b1.json"
    sign(office, "--request", asked, "--out", bundle)
    asked, bundle = request(tmp_path / "r2.json", 2, 3), tmp_path / "b2.json"
    first, shown = sign(office, "--request", asked, "--key", "authority-1.key", "--out", bundle)
    assert (first["missing_signatures"], first["request_digest"]) == (1, None)
    assert "compared with version 1" in shown
    assert shown.count("+ LIVE key") == 2
    for name in ("authority-3.key", "authority-2.key"):
        again, said = sign(office, "--bundle", bundle, "--key", name, "--out", bundle)
        assert said.count("+ LIVE key") == 2
        assert "no change" not in said
        assert again["digest"] == first["digest"]
        assert first["digest"] in said
        assert again["request_digest"]


def test_the_first_version_is_shown_whole(office: Path, tmp_path: Path) -> None:
    """With nothing to compare it with, all of it comes."""
    _, said = sign(
        office, "--request", request(tmp_path / "r.json", 1, 2), "--key", "authority-1.key",
        "--out", tmp_path / "b.json",
    )  # fmt: skip
    assert said.count("+ LIVE key") == 2
    assert "everything is shown" in said


def test_a_key_is_found_in_the_authority_s_folder(office: Path, tmp_path: Path) -> None:
    """As the documents write it: --key authority-1.key; one that is nowhere is named, before any question."""
    asked = request(tmp_path / "r.json", 1, 1)
    status, _, err = command(
        "authority", "sign", "--dir", office, "--request", asked, "--key", "authority-9.key",
        "--out", tmp_path / "b.json",
    )  # fmt: skip
    assert status == 2
    assert "authority-9.key is missing" in err
    assert "make a new one" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--participant", "77", "--realm", "test-x"), "is not a participant"),
        (("--participant", "90", "--realm", "cn"), "90 to 99 are for test realms"),
        (("--participant", "31", "--realm", "foo"), "is not a realm"),
        (("--participant", "31", "--realm", "test-x", "--keys", "1", "--threshold", "2"), "cannot be"),
    ],
)
def test_what_cannot_be_is_usage_and_found_before_a_passphrase(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    """Status 2, and nobody typed a passphrase in vain."""
    status, _, err = command("authority", "init", "--dir", tmp_path / "a", *arguments)
    assert status == 2
    assert says in err
    assert "passphrase" not in err


def test_an_authority_is_found_before_passphrases_are_asked_for(office: Path) -> None:
    """A folder that holds one already: status 2, at once."""
    status, _, err = command("authority", "init", "--dir", office, "--participant", "31", "--realm", REALM)
    assert status == 2
    assert "has an authority already" in err


def test_a_short_passphrase_is_refused_and_its_holder_named(tmp_path: Path) -> None:
    """Twelve characters or more, as the registry demands of its holders; nothing is made."""
    short = tmp_path / "short"
    short.write_text("x\n")
    short.chmod(0o600)
    status, _, err = command(
        "authority", "init", "--dir", tmp_path / "a", "--participant", "31", "--realm", "cn",
        "--passphrase-file", short,
    )  # fmt: skip
    assert status == 2
    assert "the passphrase of the authority's keys is too short: use 12 characters or more" in err
    assert not list(tmp_path.glob("a/*.key"))


def test_a_bundle_is_told_from_a_request(office: Path, tmp_path: Path) -> None:
    """Whoever mixes up the two files is told which option takes it."""
    asked, bundle = request(tmp_path / "r.json", 1, 1), tmp_path / "b.json"
    sign(office, "--request", asked, "--key", "authority-1.key", "--out", bundle)
    for option, file, right in (("--request", bundle, "--bundle"), ("--bundle", asked, "--request")):
        status, _, err = command("authority", "sign", "--dir", office, option, file, "--out", bundle)
        assert status == 2
        assert f"authority sign {right} FILE" in " ".join(err.split())


def test_an_authority_that_handed_over_does_not_sign_unawares(office: Path, tmp_path: Path) -> None:
    """Its next signature says who speaks now; and the new one shows the digest that root would consent to."""
    after, asked = tmp_path / "after", request(tmp_path / "r.json", 1, 1)
    status, out, err = command(
        "authority", "init", "--dir", after, "--participant", "31", "--realm", REALM, "--development",
        "--after", office / "authority.json", "--json",
    )  # fmt: skip
    assert status == 0, err
    made = json.loads(out)
    assert made["link_digest"].startswith("31/2: ")
    assert command("authority", "show", "--dir", office, "--json")[1].count("31/2") == 0
    handover = ("authority", "handover", "--dir", office, "--to", after / "authority.json", "--json")
    assert command(*handover, "--out", tmp_path / "handover.json")[0] == 0
    signed, said = sign(office, "--request", asked, "--out", tmp_path / "b.json")
    assert "This authority has handed over to link 2" in said
    assert signed["handed_over_to"] == "link 2"
