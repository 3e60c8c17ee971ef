"""Officers over real commands: cards, the authority's file, its publication, and who is admitted at a node over mTLS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from healthcode.clock import SystemClock, rfc3339, utc
from healthcode.errors import HealthcodeError, Reason
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.signing.keyfile import read_key_file
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.authority.authority import Authority
from province_node.authority.officers_office import OFFICERS_FOLDER, OfficersOffice
from province_node.cli.officer_folder import open_officer
from province_node.officers.officers_file import encode_officers_file, sign_officers_file
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.world.command import run_command_here
from tests.world.people import VALID_IDS
from tests.world.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_officers")]

DAY = 86_400
REFUSALS = {each for each in Reason if each.startswith(("OFFICER", "ROLE", "IDENTITY", "PERMISSION"))}


class Province:
    """Participant 31: its node runs, and its authority types commands."""

    def __init__(self, federation: Federation, folder: Path) -> None:
        self.federation = federation
        self.folder = folder
        self.node = federation.node("31")
        self.authority = federation.root / "authority-31"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("authority\n")
        self.passphrase.chmod(0o600)

    def type(self, *arguments: str | Path, status: int = 0) -> str:
        done = run_command_here("province_node", *arguments)
        assert done.returncode == status, done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def officers(self, *arguments: str | Path) -> str:
        return self.type("authority", "officers", *arguments, "--dir", self.authority)

    def appoint(self, name: str, unit: str, *roles: str) -> str:
        words = [word for role in roles for word in ("--role", role)]
        until = rfc3339(SystemClock().now() + 100 * DAY)
        card = self.folder / name / "card.json"
        return self.officers("appoint", "--card", card, "--unit", unit, "--until", until, *words)

    def sign_file(self, version: int) -> Path:
        """Each of two holders signs with their own key."""
        path = self.folder / f"officers-{version}.json"
        signing = ("--passphrase-file", self.passphrase, "--yes", "--out", path)
        assert "1 more to sign" in self.officers("sign", "--key", "authority-1.key", *signing)
        self.officers("sign", "--file", path, "--key", "authority-2.key", *signing)
        return path

    def publish(self, officers: Path) -> str:
        """The node takes the file, asks for the next province.json, and publishes it; what the holders saw."""
        self.type("officers", "take", officers, "--dir", self.node)
        self.type("request", "--dir", self.node)
        bundle = self.folder / "bundle.json"
        asked = ("authority", "sign", "--dir", self.authority, "--request", self.node / "request.json")
        signing = ("--out", bundle, "--passphrase-file", self.passphrase, "--yes")
        assert "--officers" in self.type(*asked, *signing, status=2)
        shown = self.type(*asked, *signing, "--officers", officers)
        self.type("publish", "--bundle", bundle, "--dir", self.node)
        return shown

    def answer(self, folder: Path) -> Reason | None:
        """What the node says to an officer who asks for a level."""

        async def ask() -> Reason | None:
            async with open_officer(folder).connect() as channel:
                return await explain(ProvinceIssuerServiceStub(channel))

        return asyncio.run(ask())

    def answer_to_back_end(self) -> Reason | None:
        async def ask() -> Reason | None:
            async with self.federation.order("31") as stub:
                return await explain(stub)

        return asyncio.run(ask())

    def answers(self, name: str, wanted: Reason | None) -> Callable[[], bool]:
        return lambda: self.answer(self.folder / name) is wanted

    def issues(self) -> bool:
        return bool(asyncio.run(self.federation.issue()).code)

    def brief_file(self, version: int, seconds: int) -> Path:
        """A signed file that expires soon, which the command does not make."""
        mine = Authority.open(self.authority)
        office = OfficersOffice(self.authority / OFFICERS_FOLDER, mine.file)
        draft = office.draft(expires=SystemClock().now() + seconds)
        assert draft.version == version
        keys = [read_key_file(each, b"authority").private for each in self.authority.glob("*.key")]
        path = self.folder / f"officers-{version}.json"
        path.write_bytes(encode_officers_file(sign_officers_file(draft, keys)))
        return path


async def explain(stub: Any) -> Reason | None:
    document = province_issuer_pb2.IdentityDocument(document_type="10", number=VALID_IDS[2])
    request = province_issuer_pb2.ExplainLevelRequest(document=document)
    try:
        with rpc_errors("the node"):
            await stub.ExplainLevel(request, timeout=PATIENCE_SECONDS)
    except HealthcodeError as error:
        return error.reason
    return None


def certify(csr: Path, tls: Path) -> bytes:
    """The province's CA issues a certificate for the request, as its PKI would."""
    request = x509.load_pem_x509_csr(csr.read_bytes())
    authority = x509.load_pem_x509_certificate((tls / "ca.pem").read_bytes())
    key: Any = serialization.load_pem_private_key((tls / "ca.key").read_bytes(), password=None)
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(now - 60))
        .not_valid_after(utc(now + 30 * DAY))
        .add_extension(names.value, critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_officers_come_act_and_go(tmp_path: Path) -> None:
    """Only who the authority appointed is admitted, by public key; issuing never waits for the officers file."""
    with open_federation(tmp_path / "federation", ("31",)) as federation:
        province = Province(federation, tmp_path)
        tls = province.node / "tls"
        province.type("officer", "new", tmp_path / "li", "--name", "li", "--development", province.node)
        wang = tmp_path / "wang"
        province.type(
            *("officer", "new", wang, "--name", "wang", "--realm", REALM, "--province", "31"),
            *("--node", federation.settings("31").issuer_listen, "--ca", tls / "ca.pem"),
        )
        (wang / "officer.pem").write_bytes(certify(wang / "officer.csr", tls))
        assert all(
            (folder / "sign.key").stat().st_mode & 0o777 == 0o600 for folder in (tmp_path / "li", wang)
        )
        assert province.answer(wang) is Reason.OFFICERS_FILE_MISSING

        province.appoint("li", "Municipal CDC", "HEALTH_OFFICER")
        said = province.appoint("wang", "Health Commission", "HEALTH_OFFICER", "APPROVER")
        assert "2 come, 0 go, 0 change, 0 stay" in said
        shown = province.publish(province.sign_file(1))
        assert "+ li: HEALTH_OFFICER, Municipal CDC" in shown
        wait_until(lambda: province.answer(wang) is not Reason.OFFICERS_FILE_MISSING)
        # nothing is known of this holder: past the gate, an officer gets the answer of a back end
        admitted = province.answer_to_back_end()
        assert admitted not in REFUSALS
        assert province.answer(wang) is admitted
        assert province.answer(tmp_path / "li") is admitted

        # IT owns the CA, and mints li's name for another key
        shutil.copytree(tmp_path / "li", tmp_path / "minted")
        ca = CertifiedKey((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
        peer = open_officer(tmp_path / "li").peer
        leaf = issue_leaf(ca, peer, days=1, now=SystemClock().now())
        (tmp_path / "minted/officer.key").write_bytes(leaf.key_pem)
        (tmp_path / "minted/officer.pem").write_bytes(leaf.certificate_pem)
        assert province.answer(tmp_path / "minted") is Reason.OFFICER_UNKNOWN

        listed = federation.command("31", "officers", "list")
        assert [(each["officer"], each["unit"]) for each in listed["officers"]] == [
            ("li", "Municipal CDC"),
            ("wang", "Health Commission"),
        ]

        province.officers("remove", "li")
        assert "- li: HEALTH_OFFICER, Municipal CDC" in province.publish(province.sign_file(2))
        wait_until(province.answers("li", Reason.OFFICER_REMOVED))
        assert province.answer(wang) is admitted

        for path in (province.node / "officers").glob("2-*.json"):
            path.unlink()
        wait_until(province.answers("wang", Reason.OFFICERS_FILE_OLD))
        assert province.issues()

        province.publish(province.brief_file(3, seconds=12))
        wait_until(province.answers("wang", Reason.OFFICERS_FILE_EXPIRED))
        assert province.issues()
        refused = federation.command("31", "officers", "list")["refused"]
        assert "OFFICERS_FILE_EXPIRED" in refused
