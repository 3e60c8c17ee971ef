"""CAs are changed as docs/operating.md says, between real processes: nobody restarts, and nobody is cut off."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.convert import duration
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import province_issuer_pb2, province_node_pb2, verdict_pb2
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.simulator.process import run_to_end
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS, eventually, wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_other_ca")]


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("other_ca")) as made:
        asyncio.run(_until_valid(made))
        yield made


async def _until_valid(federation: Federation) -> None:
    async def is_valid() -> bool:
        code = (await federation.issue(validity=duration(3600))).code
        return (await federation.verify(code)).outcome == verdict_pb2.OUTCOME_VALID

    await eventually(is_valid)


async def _revoked_at_44(federation: Federation) -> None:
    """A code that 31 revokes is refused by 44."""
    code = (await federation.issue(validity=duration(3600))).code
    async with federation.order("31") as stub:
        await stub.RevokeCodes(
            province_issuer_pb2.RevokeCodesRequest(
                request_id=str(uuid.uuid4()),
                codes=[code],
                reason=province_issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN,
            ),
            timeout=PATIENCE_SECONDS,
        )

    async def is_refused() -> bool:
        return (await federation.verify(code)).outcome == verdict_pb2.OUTCOME_REVOKED

    await eventually(is_refused)


async def _answered_for_44(federation: Federation) -> None:
    """44 asks 31 about a code, through the gateway."""
    code = (await federation.issue(validity=duration(3600))).code

    async def is_answered() -> bool:
        async with federation.ask("44") as stub:
            response = await stub.QueryStatus(
                province_node_pb2.QueryStatusRequest(
                    item=province_node_pb2.VerifyItem(code=code),
                    mode=province_node_pb2.QUERY_MODE_LIVE,
                    purpose=province_node_pb2.QUERY_PURPOSE_ENTRY_CHECK,
                ),
                timeout=PATIENCE_SECONDS,
            )
        return response.verdict.outcome == verdict_pb2.OUTCOME_VALID and bool(response.signed_answer)

    await eventually(is_answered)


def _folders(federation: Federation) -> dict[str, Path]:
    return {
        "31": federation.node("31") / "trust",
        "44": federation.node("44") / "trust",
        "gateway": federation.root / "gateway" / "trust",
    }


def _everybody_sees(federation: Federation, what: Callable[[TrustView], bool], *but: str) -> None:
    for name, folder in _folders(federation).items():
        if name not in but:
            wait_until(lambda folder=folder: what(TrustStore.open(folder).view))


def _propose(federation: Federation, service: str, pem: str, *, is_warned: bool = False) -> None:
    """Proposes and publishes the CAs of a service."""
    folder, file = federation.root / "registry", federation.root / f"{uuid.uuid4().hex}.pem"
    file.write_text(pem)
    entry = TrustStore.open(federation.node("31") / "trust").view.services[service]
    public = ("--public-endpoint", entry.public_endpoint) if entry.public_endpoint else ()
    done = run_command_here(
        *("trust_registry", "propose", "service", service, "--ca", file, "--endpoint", entry.endpoint),
        *(*public, "--dir", folder, "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert ("warning" in done.stderr) is is_warned, done.stderr
    told = json.loads(done.stdout)
    assert ("CUTS" in told["title"]) is is_warned
    if is_warned:
        return
    for operator in (1, 2):
        run_to_end(
            *("trust_registry", "sign", told["proposal"], "--dir", folder, "--yes"),
            *("--key", folder / f"ceremony/operator-{operator}.key"),
            *("--passphrase-file", folder / "ceremony/passphrase"),
        )


def _check(module: str, folder: Path) -> dict[str, tuple[str, str]]:
    done = run_command_here(module, "check", "--dir", folder, "--json")
    found = json.loads(done.stdout)
    return {each["what"]: (each["grade"], each["detail"]) for each in found["findings"]}


def _put_leaf(ca: CertifiedKey, peer: PeerId, folder: Path, name: str) -> None:
    leaf = issue_leaf(ca, peer, days=30, now=int(time.time()))
    (folder / f"{name}.key").write_bytes(leaf.key_pem)
    (folder / f"{name}.pem").write_bytes(leaf.certificate_pem)


def test_the_registrys_ca_is_changed_by_the_book(federation: Federation, tmp_path: Path) -> None:
    """Revocations go on arriving, at a running node, at one that was away meanwhile, and in a verifier's own folder."""
    registry, trust = federation.root / "registry", tmp_path / "trust"
    old = (registry / "tls/ca.pem").read_text()
    new = make_ca("another CA of the registry", days=30, now=int(time.time()))
    pem = new.certificate_pem.decode()
    (tmp_path / "new.pem").write_text(pem)
    (tmp_path / "new.key").write_bytes(new.key_pem)
    source = f"grpcs://127.0.0.1:{federation.ports[1]}"
    fingerprint = federation.settings("31").registry.root_fingerprint
    run_to_end(
        *("healthcode.cli", "trust", "init", "--source", source, "--ca", registry / "tls/ca.pem"),
        *("--root-fingerprint", fingerprint, "--dir", trust),
    )
    certificate = ("trust_registry", "certificate", "--dir", registry)
    key = ("--ca-key", tmp_path / "new.key", "--new-ca", tmp_path / "new.pem")

    # too early: the command refuses, and so does a running registry whose files somebody has changed by hand
    done = run_command_here(*certificate, *key)
    assert (done.returncode, "publish that CA" in done.stderr) == (2, True), done.stderr
    _propose(federation, "registry", pem, is_warned=True)
    kept = {
        name: (registry / "tls" / name).read_bytes() for name in ("registry.pem", "registry.key", "ca.pem")
    }
    (registry / "tls/ca.pem").write_text(pem)
    _put_leaf(new, PeerId(REALM, PeerKind.REGISTRY), registry / "tls", "registry")
    assert _check("trust_registry", registry)["certificate"][0] == "FAILED"
    run_to_end("healthcode.cli", "trust", "sync", "--dir", trust)
    wait_until(lambda: "tls_reload_refused" in federation.services["registry"].log.read_text())
    for name, data in kept.items():
        (registry / "tls" / name).write_bytes(data)

    # both are published; everybody has them; then the registry bears the new one
    _propose(federation, "registry", old + pem)
    _everybody_sees(federation, lambda view: pem in view.services["registry"].ca_pem)
    run_to_end("healthcode.cli", "trust", "sync", "--dir", trust)
    assert "step 2" in _check("trust_registry", registry)["published CAs"][1]
    federation.stop("44")
    # reports come once a minute here, so that nobody has told yet that it has both
    done = run_command_here(*certificate, *key)
    assert (done.returncode, "have not reported" in done.stderr) == (1, True), done.stderr
    run_to_end(*certificate, *key, "--anyway")
    found = _check("trust_registry", registry)
    assert found["certificate"][0] == "OK"
    assert "step 3" in found["published CAs"][1]
    federation.stop("registry")  # so that everybody connects anew
    federation.start("registry")
    _propose(federation, "registry", pem)
    _everybody_sees(federation, lambda view: view.services["registry"].ca_pem == pem, "44")

    # 44 begins with the old file, and trust on disk that names both
    federation.start("44")
    asyncio.run(_revoked_at_44(federation))
    _everybody_sees(federation, lambda view: view.services["registry"].ca_pem == pem)
    federation.stop("registry")
    federation.start("registry")
    asyncio.run(_revoked_at_44(federation))
    run_to_end("healthcode.cli", "trust", "sync", "--dir", trust)
    assert TrustStore.open(trust).view.services["registry"].ca_pem == pem
    for module, folder in (
        ("province_node", federation.node("31")),
        ("gateway", federation.root / "gateway"),
    ):
        grade, detail = _check(module, folder)["registry"]
        assert grade == "WARNING", detail
        assert "registry-ca.pem" in detail


def test_a_provinces_ca_is_changed_by_the_book(federation: Federation) -> None:
    """The gateway, the registry and the province's own clients know the node before, while and after it changes."""
    node = federation.node("31")
    tls = node / "tls"
    old = (tls / "ca.pem").read_text()
    new = make_ca("another CA of 31", days=30, now=int(time.time()))
    pem = new.certificate_pem.decode()
    peers = {
        "node": PeerId(REALM, PeerKind.PROVINCE, "31"),
        "issuer": PeerId(REALM, PeerKind.ISSUER, "31", "console"),
        "integrator": PeerId(REALM, PeerKind.INTEGRATOR, "31", "console"),
    }

    def publish() -> None:
        federation.command("31", "request")
        federation.command("31", "publish", "--bundle", federation.sign("31"))

    def is_published(*pems: str) -> Callable[[TrustView], bool]:
        return lambda view: view.issuers["31"].tls_ca == pems

    # too early, by hand: the running node goes on with the old one, and `check` says why
    kept = {each.name: each.read_bytes() for each in tls.iterdir()}
    (tls / "ca.pem").write_text(old + pem)
    _put_leaf(new, peers["node"], tls, "node")
    assert "not publish" in _check("province_node", node)["certificate node.pem"][1]
    asyncio.run(_revoked_at_44(federation))
    asyncio.run(_answered_for_44(federation))
    assert "tls_reload_refused" in federation.services["31"].log.read_text()
    for name, data in kept.items():
        (tls / name).write_bytes(data)

    (tls / "ca.pem").write_text(old + pem)
    publish()
    _everybody_sees(federation, is_published(old, pem))
    for name, peer in peers.items():
        _put_leaf(new, peer, tls, name)
    assert _check("province_node", node)["certificate node.pem"][0] == "OK"
    asyncio.run(_revoked_at_44(federation))
    asyncio.run(_answered_for_44(federation))

    (tls / "ca.pem").write_text(pem)
    publish()
    _everybody_sees(federation, is_published(pem))
    asyncio.run(_revoked_at_44(federation))
    asyncio.run(_answered_for_44(federation))


def test_the_gateways_ca_is_changed_by_the_book(federation: Federation) -> None:
    """Questions are answered before, while and after the gateway changes."""
    folder = federation.root / "gateway"
    tls = folder / "tls"
    old = (tls / "ca.pem").read_text()
    new = make_ca("another CA of the gateway", days=30, now=int(time.time()))
    pem = new.certificate_pem.decode()
    _propose(federation, "gateway", pem, is_warned=True)
    _propose(federation, "gateway", old + pem)
    _everybody_sees(federation, lambda view: pem in view.services["gateway"].ca_pem)
    (tls / "ca.pem").write_text(pem)
    _put_leaf(new, PeerId(REALM, PeerKind.GATEWAY), tls, "gateway")
    assert _check("gateway", folder)["trust folder"][0] == "OK"
    asyncio.run(_answered_for_44(federation))
    _propose(federation, "gateway", pem)
    _everybody_sees(federation, lambda view: view.services["gateway"].ca_pem == pem)
    asyncio.run(_answered_for_44(federation))
