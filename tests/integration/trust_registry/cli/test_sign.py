"""`proposals`, `show`, `sign`, `publish` on the registry's machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

from healthcode.errors import InvalidInputError, PermissionDeniedError
from tests.integration.trust_registry.cli.at_keyboard import run, signed
from tests.simulator.registry import Province
from trust_registry.registry import Registry

REALM = "test-registry"


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
    for command in (("show",), ("sign", "--key", str(ca))):
        missing = run(registry, *command, str(tmp_path / "gatway.json"))
        assert "there is no file" in str(missing.exception)
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
