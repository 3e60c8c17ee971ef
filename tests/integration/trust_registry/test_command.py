"""The commands of an operator at the keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthcode.clock import SystemClock
from healthcode.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    PermissionDeniedError,
    Reason,
)
from healthcode.policy.book_file import default_policy_bytes
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.signing.ed25519 import kid
from tests.simulator.realm import PEM
from tests.simulator.registry import PASSPHRASE, Province, admit, found_registry, put_join
from trust_registry.__main__ import cli
from trust_registry.cli.admission import _demand_digests
from trust_registry.participants.join import Join
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry", clock=SystemClock())


@pytest.fixture
def shanghai() -> Province:
    return Province("31", REALM, now=int(time.time()))


def run(registry: Registry, *arguments: str, keyboard: str = "") -> Result:
    return CliRunner().invoke(cli, [*arguments, "--dir", str(registry.folder.root)], input=keyboard)


def signed(registry: Registry, *arguments: str, holder: str) -> Result:
    passphrase = str(registry.folder.ceremony / "passphrase")
    return run(registry, *arguments, "--key", holder, "--passphrase-file", passphrase, "--yes", "--json")


def test_an_operator_sees_the_digest_and_the_whole_change_before_the_passphrase(
    registry: Registry, shanghai: Province
) -> None:
    """Digest, people's question, passphrase, result: in that order."""
    digest = put_join(registry, shanghai).digest
    keyboard = f"y\n{PASSPHRASE.decode()}\n"
    result = run(registry, "approve", "31", "--key", "operator-1", keyboard=keyboard)
    assert result.exit_code == 0, result.output
    text = "".join(result.output.split())
    places = [
        text.index(part)
        for part in (digest, "province-31/threshold:2", "readout", "Passphrase", "threshold2")
    ]
    assert places == sorted(places)
    assert PASSPHRASE.decode() not in result.output


def test_what_is_signed_is_named_by_kid_and_digest_and_asked_for_by_it(
    registry: Registry, shanghai: Province
) -> None:
    """`approve` calls the authority's keys by their kids; the same digest is shown, asked for and in the result."""
    put_join(registry, shanghai)
    keyboard = f"y\n{PASSPHRASE.decode()}\n"
    approved = run(registry, "approve", "31", "--key", "operator-1", keyboard=keyboard).output
    kids = [kid(key.public).hex() for key in shanghai.authority]
    assert all(f"(authority 31, kid {each})" in approved for each in kids)
    (proposal,) = registry.proposals.all()
    assert f"digest sha256:{proposal.digest}, the same for every signer" in approved
    result = run(registry, "sign", proposal.id, "--key", "operator-2", keyboard=keyboard).output
    assert f"digest sha256:{proposal.digest}" in result
    assert all(f"(authority 31, kid {each})" in result for each in kids)
    assert f"Sign exactly this, sha256:{proposal.digest}? [y/N]" in result


def test_status_calls_each_signer_by_name(registry: Registry) -> None:
    """Beside each key's id stands its holder, as the ceremony noted it; online keys are the registry's."""
    signers = json.loads(run(registry, "status", "--json").stdout)["signers"]
    called = {line["role"]: line["holders"] for line in signers}
    assert [name.partition(" ")[0] for name in called["targets"]] == [
        "operator-1",
        "operator-2",
        "operator-3",
    ]
    assert all(name.startswith("root-") for name in called["root"])
    for role in ("snapshot", "timestamp", "areas"):
        assert [name.partition(" (")[0] for name in called[role]] == ["this registry"]


def test_who_says_no_signs_nothing(registry: Registry, shanghai: Province) -> None:
    """The question about the digest is not a formality."""
    put_join(registry, shanghai)
    result = run(registry, "approve", "31", "--key", "operator-1", keyboard="n\n")
    assert result.exit_code == 1
    assert registry.proposals.all()[0].signers == frozenset()


def test_two_operators_approve_by_script(registry: Registry, shanghai: Province) -> None:
    """--json tells what was signed and whether it is published; a third signature finds nothing to sign."""
    put_join(registry, shanghai)
    first = json.loads(signed(registry, "approve", "31", holder="operator-1").stdout)
    assert (first["published"], first["signatures"], first["threshold"]) == (False, 1, 2)
    again = signed(registry, "approve", "31", holder="operator-1")
    assert isinstance(again.exception, ConflictError)
    assert again.exception.reason is Reason.ALREADY_SIGNED
    second = json.loads(signed(registry, "approve", "31", holder="operator-2").stdout)
    assert second["published"] is True
    third = signed(registry, "approve", "31", holder="operator-3")
    assert isinstance(third.exception, ConflictError)
    assert "nothing is left to sign" in third.exception.message
    (line,) = json.loads(run(registry, "joins", "--all", "--json").stdout)["joins"]
    assert line["state"] == "APPROVED"


def test_a_request_carried_as_a_file(registry: Registry, shanghai: Province, tmp_path: Path) -> None:
    """A province without a line to the registry is approved from a medium."""
    carried = tmp_path / "join-31.json"
    carried.write_bytes(shanghai.join_request())
    result = json.loads(signed(registry, "approve", str(carried), holder="operator-1").stdout)
    assert result["participants"] == ["31"]
    assert json.loads(run(registry, "joins", "--json").stdout)["joins"][0]["state"] == "WAITING"


def test_a_wrong_key_is_found_before_its_passphrase_is_asked_for(
    registry: Registry, shanghai: Province
) -> None:
    """A root holder's key, or an online key, does not sign for an operator."""
    put_join(registry, shanghai)
    for key in ("root-1", str(registry.folder.keys / "snapshot.key")):
        result = run(registry, "approve", "31", "--key", key, keyboard="y\n")
        assert isinstance(result.exception, InvalidInputError)
        assert "a key of purpose OPERATOR" in result.exception.message


def test_a_request_that_is_not_what_it_claims_is_discarded(registry: Registry, shanghai: Province) -> None:
    """Joins --discard forgets one."""
    join = put_join(registry, shanghai)
    result = run(registry, "joins", "--discard", join.digest[:12], "--json")
    assert json.loads(result.stdout) == {"joins": []}


def test_outside_test_realms_scripts_name_digests() -> None:
    """--yes with a bare code would approve whoever came first."""
    with pytest.raises(InvalidInputError, match="by its digest"):
        _demand_digests(("31",))
    _demand_digests(("ab" * 32,))


def test_the_life_of_a_proposal_by_commands(registry: Registry, tmp_path: Path) -> None:
    """propose, proposals, show, sign, sign: published, and no longer open."""
    ca = tmp_path / "ca.pem"
    ca.write_text(Province("31", REALM, now=int(time.time())).ca.certificate_pem.decode())
    arguments = ("--ca", str(ca), "--endpoint", "127.0.0.1:7445")
    made = json.loads(run(registry, "propose", "service", "gateway", *arguments, "--json").stdout)
    assert (made["state"], made["version"]) == ("OPEN", 2)
    listed = json.loads(run(registry, "proposals", "--json").stdout)["proposals"]
    assert [line["proposal"] for line in listed] == [made["proposal"]]
    shown = json.loads(run(registry, "show", made["proposal"], "--json").stdout)
    assert "+ participants.json / services / gateway / endpoint: 127.0.0.1:7445" in shown["changes"]
    early = run(registry, "publish", made["proposal"])
    assert isinstance(early.exception, PermissionDeniedError)
    for holder in ("operator-1", "operator-2"):
        done = json.loads(signed(registry, "sign", made["proposal"][:6], holder=holder).stdout)
    assert done["state"] == "PUBLISHED"
    assert json.loads(run(registry, "proposals", "--json").stdout)["proposals"] == []


def test_root_is_renewed_by_root_holders(registry: Registry) -> None:
    """The renewal of root asks for root keys, and makes version 2."""
    made = json.loads(run(registry, "propose", "renewal", "root", "--json").stdout)
    wrong = signed(registry, "sign", made["proposal"], holder="operator-1")
    assert isinstance(wrong.exception, InvalidInputError)
    for holder in ("root-1", "root-2"):
        assert signed(registry, "sign", made["proposal"], holder=holder).exit_code == 0
    status = json.loads(run(registry, "status", "--json").stdout)
    assert {line["role"]: line["version"] for line in status["roles"]}["root"] == 2


def test_a_policy_that_begins_tomorrow_is_refused(registry: Registry, tmp_path: Path) -> None:
    """48 hours' notice, unless it is an emergency."""
    document = json.loads(default_policy_bytes())
    later = {**document["policies"][0], "version": "soon"}
    later["effective_from"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    document["policies"].append(later)
    path = tmp_path / "national.json"
    path.write_text(json.dumps(document))
    result = run(registry, "propose", "policy", str(path))
    assert isinstance(result.exception, InvalidInputError)
    assert "48 hours" in result.exception.message


def test_tables_are_for_people(registry: Registry, shanghai: Province) -> None:
    """Without --json every command prints something to read."""
    put_join(registry, shanghai)
    for command in (("joins",), ("status",), ("proposals",), ("fingerprint",), ("check",)):
        result = run(registry, *command)
        # nobody serves this one, and status says so
        assert result.exit_code == (4 if command == ("status",) else 0), result.output
        assert result.stdout.strip()
    assert "nobody serves" in run(registry, "status").stderr
    assert PEM not in run(registry, "status").output


def test_a_slip_in_an_address_is_a_usage_error(registry: Registry) -> None:
    """Nothing is proposed, and the option is named."""
    ca = str(registry.folder.tls / "ca.pem")
    result = run(registry, "propose", "service", "gateway", "--ca", ca, "--endpoint", "nonsense")
    assert result.exit_code == 2
    assert "--endpoint" in result.output
    assert registry.proposals.all() == []


def test_a_handover_is_called_one_and_the_admitted_request_counts_no_more(
    registry: Registry, shanghai: Province
) -> None:
    """`approve 31` means the request that waits; what is signed and asked says who hands over, by whose consent."""
    admit(registry, shanghai)
    put_join(registry, shanghai)
    after = Province("31", REALM, name=" after", now=int(time.time()))
    registry.joins.put(Join.decode(after.join_request(int(time.time()), follows=shanghai)), bounded=False)
    keyboard = f"y\n{PASSPHRASE.decode()}\n"
    said = " ".join(run(registry, "approve", "31", "--key", "operator-1", keyboard=keyboard).output.split())
    assert said.count("hands over to link 2, signed by 2 of 3 old keys") >= 3
    assert "You sign, in realm test-registry: 31 上海 Shanghai hands over" in said
    (line,) = json.loads(run(registry, "joins", "--json").stdout)["joins"]
    assert line["link_digest"].startswith("31/2: ")


def test_the_present_policy_is_written_out_and_proposed_again(registry: Registry, tmp_path: Path) -> None:
    """Whoever changes the policy begins with the one that is published; unchanged there is nothing to sign."""
    file = tmp_path / "national.json"
    shown = json.loads(run(registry, "policy", "--out", str(file), "--json").stdout)
    assert file.read_bytes() == default_policy_bytes()
    assert [each["note"] for each in shown["policies"]] == ["in force"]
    assert "nothing would change" in str(run(registry, "propose", "policy", str(file)).exception)


def test_the_certificate_is_issued_anew_by_the_ca_that_was_kept(registry: Registry, tmp_path: Path) -> None:
    """Another key and another certificate of the same CA; with a key that is not the CA's, the old ones stay."""
    tls = registry.settings.tls
    before = tls.certificate.read_bytes()
    stranger = make_ca("another CA", days=10, now=int(time.time()))
    stranger.write(tmp_path / "other.pem", tmp_path / "other.key")
    refused = run(registry, "certificate", "--ca-key", str(tmp_path / "other.key")).exception
    assert isinstance(refused, ConfigurationError)
    assert tls.certificate.read_bytes() == before
    safe = tmp_path / "ca.key"
    (registry.folder.tls / "ca.key").rename(safe)
    assert run(registry, "certificate", "--ca-key", str(safe)).exit_code == 0
    assert tls.certificate.read_bytes() != before
    load_tls(tls.certificate, tls.private_key, tls.ca, now=int(time.time()), realm=REALM)
    assert not list(tls.certificate.parent.glob(".renewal-*"))
