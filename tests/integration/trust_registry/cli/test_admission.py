"""`joins` and `approve`: operators admit participants at the keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from healthcode.errors import ConflictError, InvalidInputError, Reason
from healthcode.signing.ed25519 import kid
from tests.integration.trust_registry.cli.at_keyboard import run, signed
from tests.simulator.registry import PASSPHRASE, Province, admit, put_join
from trust_registry.cli.admission import _demand_digests
from trust_registry.participants.join import Join
from trust_registry.registry import Registry

REALM = "test-registry"


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
