"""`province-node officer new` and `officers take`: what is made, and what is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509

from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.signing.plain_key import read_plain_key
from province_node.cli.officer_folder import open_officer
from province_node.keys.setup import create_node
from province_node.officers.act import Act, Verb, verify_act
from province_node.officers.officer_card import decode_card
from province_node.officers.officers_file import OfficersFile, encode_officers_file
from tests.unit.province_node.cli.command import command, plan_of
from tests.unit.province_node.officers.world import LI_ROW, NOW, officers_file

REALM = "test-keys"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("officer")
    create_node(folder / "node", plan_of(folder), passphrase=None, now=SystemClock().now())
    return folder / "node"


def test_an_officer_makes_keys_that_fit_their_card(node: Path, tmp_path: Path) -> None:
    """The card has the keys of the folder, and an act signed with the folder verifies under a file with that card."""
    folder = tmp_path / "li"
    status, out, err = command(
        "officer", "new", folder, "--name", "li", "--development", node, "--json"
    )  # fmt: skip
    assert status == 0, err
    card = decode_card((folder / "card.json").read_bytes(), realm=REALM, participant="31")
    officer = open_officer(folder)
    assert (officer.name, officer.key.public) == ("li", card.sign_key)
    row = LI_ROW.model_copy(update={"spki_sha256": card.spki_sha256, "sign_key": card.sign_key})
    file: OfficersFile = officers_file(row, realm=REALM)
    data = officer.sign(Verb.PROPOSE, b"\7" * 32, officers=file.digest, request_id="r", now=NOW)
    assert verify_act(data, file) == Act("31", "li", Verb.PROPOSE, b"\7" * 32, file.digest, NOW, "r")
    assert json.loads(out)["card_digest"].startswith("sha256:")
    again = command("officer", "new", folder, "--name", "li", "--development", node)
    assert (again[0], "already" in again[2]) == (2, True)


def test_a_certificate_request_names_the_officer(node: Path, tmp_path: Path) -> None:
    """In production the CA issues the certificate; until then the folder says which file is missing."""
    folder, ca = tmp_path / "wang", node / "tls" / "ca.pem"
    place = ("--realm", REALM, "--province", "31", "--node", "127.0.0.1:1", "--ca", ca)
    assert command("officer", "new", folder, "--name", "wang", *place)[0] == 0
    request = x509.load_pem_x509_csr((folder / "officer.csr").read_bytes())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://{REALM}.healthcode/officer/31/wang"
    ]
    with pytest.raises(ConfigurationError, match=r"officer\.pem is missing"):
        open_officer(folder)
    (folder / "sign.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod"):
        read_plain_key(folder / "sign.key")
    assert command("officer", "new", tmp_path / "x", "--name", "x", "--realm", REALM)[0] == 2


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (officers_file(realm="test-other"), "participant 31 in realm test-other"),
        (officers_file(realm=REALM, signers=1), "needs 1 more signatures"),
        (officers_file(realm=REALM, expires=1_700_000_000), "expired"),
    ],
)
def test_a_node_takes_no_file_that_cannot_be_in_force(
    node: Path, tmp_path: Path, file: OfficersFile, says: str
) -> None:
    """Foreign, incomplete and expired files are refused, and nothing is written."""
    path = tmp_path / "officers.json"
    path.write_bytes(encode_officers_file(file))
    status, _, err = command("officers", "take", path, "--dir", node)
    assert status != 0
    assert says in " ".join(err.split())
    assert not list((node / "officers").glob("*.json"))
