"""A province's keys through handover, a lost authority, keys published ahead, an alarm, and retirement.

The authority, the node and the registry are folders; only files pass between them.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.format.layout import REONBOARDING_WAIT_SECONDS
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from healthcode.verification.outcome import effective_expiry
from healthcode.wire.claims import Presentation
from province_node.__main__ import cli as node_cli
from province_node.authority.bundle import decode_bundle
from province_node.keys.keyring import Keyring
from province_node.publishing.own_entry import entry_of, expect_entry, watch_entry
from tests.simulator.registry import PASSPHRASE, found_registry, operator, plan
from tests.world.clock import ManualClock
from trust_registry.__main__ import cli as registry_cli
from trust_registry.layout import RegistryFolder
from trust_registry.monitoring.status import status_of
from trust_registry.participants.submission import Publisher
from trust_registry.proposals.retirement import draft_removal, draft_retirement
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import Registry, open_registry

REALM = "test-registry"
HOUR = 3600


class Country:
    """A registry, Shanghai's authority and node, and a USB stick between them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = int(time.time())
        self.registry = found_registry(root / "registry", clock=ManualClock(self.now), ceremony=plan(REALM))
        self.fingerprint = self.here("fingerprint")["root_1"]
        self.node = root / "node-31"
        self.province(
            "init", "--participant", "31", "--realm", REALM, "--registry", "127.0.0.1:7444",
            "--registry-ca", str(root / "registry" / "tls" / "ca.pem"),
            "--root-fingerprint", self.fingerprint, "--development",
            at=self.node,
        )  # fmt: skip
        source = FolderSource(root / "registry" / "repository")
        self.clients = {}
        for name in ("node", "elsewhere"):
            folder = self.node / "trust" if name == "node" else root / "elsewhere"
            init_trust(folder, source, self.fingerprint)
            self.clients[name] = TrustClient(folder, source)
        self.authority("authority")
        self.hand_in("authority")
        self.approve()
        self.refresh()

    def run(self, cli: Any, *arguments: str, refused: bool = False) -> Any:
        result = CliRunner().invoke(cli, [*arguments, "--json"])
        # no service runs here, which these say with 4
        done = {0, 4} if arguments[0] in {"status", "nodes"} else {0}
        assert (result.exit_code not in done) is refused, f"{arguments}\n{result.output}\n{result.exception}"
        return str(result.exception) if refused else json.loads(result.stdout)

    def here(self, *arguments: str, refused: bool = False) -> Any:
        """Runs a command at the registry."""
        return self.run(registry_cli, *arguments, "--dir", str(self.root / "registry"), refused=refused)

    def anywhere(self, *arguments: str, refused: bool = False) -> Any:
        """Runs a command at a key holder, who has no registry."""
        return self.run(registry_cli, *arguments, refused=refused)

    def province(self, *arguments: str, at: Path, refused: bool = False) -> Any:
        """Runs a command of the province, in one of its folders."""
        return self.run(node_cli, *arguments, "--dir", str(at), refused=refused)

    def authority(self, name: str, *more: str) -> Path:
        """Makes a new authority of three keys, two of which sign."""
        folder = self.root / name
        self.province(
            "authority", "init", "--participant", "31", "--realm", REALM, "--development", *more, at=folder
        )
        return folder

    def hand_in(self, name: str, *, refused: bool = False) -> Any:
        """Submits the node's request, signed by an authority; what `join` prints."""
        self.province("request", at=self.node)
        bundle = self.root / "bundle.json"
        self.province(
            "authority", "sign", "--request", str(self.node / "request.json"), "--out", str(bundle),
            at=self.root / name,
        )  # fmt: skip
        return self.province(
            "join", "--bundle", str(bundle), "--out", str(self.root / "join.json"),
            at=self.node, refused=refused,
        )  # fmt: skip

    def holder(self, name: str) -> list[str]:
        passphrase = self.root / "passphrase"
        passphrase.write_bytes(PASSPHRASE)
        passphrase.chmod(0o600)
        return ["--key", name, "--passphrase-file", str(passphrase), "--yes"]

    def approve(self) -> None:
        """Two operators approve the submitted request."""
        for name in ("operator-1", "operator-2"):
            self.here("approve", str(self.root / "join.json"), *self.holder(name))

    def publish(self, file: Path) -> None:
        """The registry takes the file that `province-node publish` sends."""
        bundle = decode_bundle(file.read_bytes())
        expect_entry(self.node / "trust", bundle)
        registry = open_registry(RegistryFolder(self.root / "registry"), ManualClock(self.now), {})
        Publisher(registry.repository).publish_province("31", bundle.metadata, bundle.province_json)

    def refresh(self, hours: int = 0) -> dict[str, RefreshResult]:
        """Lets time pass: the registry signs its timestamp, and every client refreshes."""
        # commands read the real clock, so time here is never behind it, however slow the machine
        self.now = max(self.now, int(time.time())) + hours * HOUR + 1
        open_registry(RegistryFolder(self.root / "registry"), ManualClock(self.now), {}).repository.renew()
        return {name: client.refresh(self.now) for name, client in self.clients.items()}

    def registry_at(self, now: int) -> Registry:
        """The registry at a later time."""
        return open_registry(RegistryFolder(self.root / "registry"), ManualClock(now), {})

    def alarm(self) -> str | None:
        """What the node says about its own entry."""
        view = TrustStore.open(self.node / "trust").view
        return watch_entry(self.node / "trust", entry_of(view, "31"), self.now).alarm


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


def test_an_authority_hands_over(country: Country) -> None:
    """New keys that the threshold of the old ones signed for are in force at once, without an alarm."""
    old, root = country.root / "authority", country.root
    # 1. New holders make keys of their own; they follow the authority that is.
    new = country.authority("authority-new", "--after", str(old / "authority.json"))
    # 2. Without its consent nobody takes them: neither the registry nor a client.
    assert "handed over by 0 of the 2" in country.province(
        "authority", "accept", "--handover", str(new / "authority.json"), at=new, refused=True
    )
    # 3. The old holders sign one after another; the file goes from one to the next.
    handover = root / "handover.json"
    first = country.province(
        "authority", "handover", "--to", str(new / "authority.json"),
        "--key", str(old / "authority-1.key"), "--out", str(handover), at=old,
    )  # fmt: skip
    assert first["missing_signatures"] == 1
    second = country.province(
        "authority", "handover", "--to", str(handover),
        "--key", str(old / "authority-3.key"), "--out", str(handover), at=old,
    )  # fmt: skip
    assert second["missing_signatures"] == 0
    country.province("authority", "accept", "--handover", str(handover), at=new)
    # 4. The new authority signs the node's request, the node hands it in, two operators say yes.
    country.hand_in("authority-new")
    assert country.here("joins", "--all")["joins"]  # it is listed only once it is handed in
    # `publish` is not yet for it, and says what is
    bundle = str(root / "bundle.json")
    early = country.province("publish", "--bundle", bundle, at=country.node, refused=True)
    assert "not admitted yet: submit the bundle with `province-node join`" in early
    country.approve()
    for result in country.refresh().values():
        assert not result.rejected
        assert result.view.authorities["31"][0] == 2
        assert result.view.issuers["31"].province_version == 2
    assert country.alarm() is None
    # 5. The old keys sign nothing any more.
    assert "authority already" in country.hand_in("authority", refused=True)


def test_a_lost_authority_comes_back_by_root_s_word_after_72_hours(country: Country) -> None:
    """Root's threshold can replace a lost authority, operators cannot; clients wait 72 hours and use the old files."""
    # 1. The authority's keys are gone, and its folder. The node knows which link was the last.
    chain = country.root / "chain.json"
    country.province("chain", "--out", str(chain), at=country.node)
    country.authority("authority-new", "--after", str(chain))
    assert "handed over by 0" in country.hand_in("authority-new", refused=True)
    country.province(
        "join", "--bundle", str(country.root / "bundle.json"), "--lost-authority",
        "--out", str(country.root / "join.json"), at=country.node,
    )  # fmt: skip
    # 2. Two operators are not enough.
    request = str(country.root / "join.json")
    refused = country.here("approve", request, *country.holder("operator-1"), refused=True)
    assert "handed over by 0 of the 2" in refused
    states = {line["state"] for line in country.here("joins")["joins"]}
    assert "NEEDS ROOT" in states
    # 3. Two root holders consent to exactly these keys; then the operators' yes counts.
    proposal = country.here("propose", "reonboarding", request)["proposal"]
    for name in ("root-1", "root-3"):
        country.here("sign", proposal, *country.holder(name))
    country.approve()
    # 4. Clients see it, say it, and wait: the old authority's files serve.
    for result in country.refresh().values():
        assert [each.reason for each in result.rejected] == [Reason.AUTHORITY_WAITS]
        assert result.view.issuers["31"].province_version == 1
        assert any("with root's consent" in warning for warning in result.view.warnings)
    # 5. The province asked for it, so its node raises no alarm.
    assert country.alarm() is None
    # 6. A day before the end a client that was started anew still waits; after 72 hours it rules.
    country.clients["elsewhere"] = TrustClient(
        country.root / "elsewhere", FolderSource(country.root / "registry" / "repository")
    )
    waiting = country.refresh(hours=REONBOARDING_WAIT_SECONDS // HOUR - 24)
    assert all(result.view.issuers["31"].province_version == 1 for result in waiting.values())
    for result in country.refresh(hours=24).values():
        assert not result.rejected
        assert result.view.issuers["31"].province_version == 2
    # 7. Who opens the folder later, and who begins now, find the same.
    assert TrustStore.open(country.root / "elsewhere").view.authorities["31"][0] == 2
    source = FolderSource(country.root / "registry" / "repository")
    init_trust(country.root / "late", source, country.fingerprint)
    late = TrustClient(country.root / "late", source).refresh(country.now)
    assert late.view.issuers["31"].province_version == 2


def test_an_authority_that_the_province_did_not_ask_for_is_overtaken_within_the_72_hours(
    country: Country,
) -> None:
    """If root was deceived, the province's own authority can replace the false one before it comes into force."""
    chain, request = country.root / "chain.json", str(country.root / "join.json")

    def come_back(name: str, *root_holders: str) -> Any:
        country.province("chain", "--out", str(chain), at=country.node)
        country.authority(name, "--after", str(chain))
        country.hand_in(name, refused=True)
        bundle = str(country.root / "bundle.json")
        joined = country.province(
            "join", "--bundle", bundle, "--lost-authority", "--out", request, at=country.node
        )
        proposal = country.here("propose", "reonboarding", request)["proposal"]
        for holder in root_holders:
            country.here("sign", proposal, *country.holder(holder))
        country.approve()
        return joined

    # 1. Somebody whom root believed comes in the province's name; what root signs is what was read out.
    joined = come_back("authority-false", "root-1", "root-2")
    assert joined["link_digest"].startswith("31/2: ")
    assert all(result.view.authorities["31"][0] == 2 for result in country.refresh().values())
    # 2. The registry says since when and until when it waits; whoever looks after the nodes sees it, too.
    (waiting,) = country.here("status")["authorities_waiting"]
    assert (waiting["participant"], waiting["link"]) == ("31", 2)
    assert any(
        "root re-onboarded another authority (link 2)" in each for each in country.here("nodes")["ahead"]
    )
    # 3. A day later the province was called at last: its own new authority follows.
    country.refresh(hours=24)
    come_back("authority-true", "root-1", "root-3")
    country.refresh()
    # 4. The false one never rules, neither at the end of its 72 hours nor after.
    for hours in (47, 2, 21):
        for result in country.refresh(hours=hours).values():
            assert result.view.issuers["31"].province_version == 1
            assert [each.reason for each in result.rejected] == [Reason.AUTHORITY_WAITS]
    # 5. The true one does, 72 hours after it was seen first.
    for result in country.refresh(hours=2).values():
        assert not result.rejected
        assert result.view.authorities["31"][0] == 3
    assert json.loads(chain.read_text())["link"]["seq"] == 2


def test_a_clock_that_is_wrong_makes_the_wait_no_shorter(country: Country) -> None:
    """With a clock minutes or days behind at first sight, or ahead later, the wait is still 72 hours."""
    # 1. Clients like any other, until their clocks go wrong.
    source = FolderSource(country.root / "registry" / "repository")
    wrong = {"behind": -100 * HOUR, "ahead": 100 * HOUR, "a little ahead": HOUR // 2}
    clients = {}
    for name in wrong:
        init_trust(country.root / name, source, country.fingerprint)
        clients[name] = TrustClient(country.root / name, source)
        clients[name].refresh(country.now)

    def look(**offsets: int) -> set[int]:
        """The authority in force after a look by a client's own clock, with or without news."""
        for name, client in clients.items():
            with contextlib.suppress(HealthcodeError):
                client.refresh(country.now + offsets.get(name, 0))
        views = (TrustStore.open(country.root / name).view for name in clients)
        return {view.issuers["31"].province_version for view in views}

    # 2. The authority is lost, and comes back by root's word.
    chain = country.root / "chain.json"
    country.province("chain", "--out", str(chain), at=country.node)
    country.authority("authority-new", "--after", str(chain))
    request = str(country.root / "join.json")
    country.hand_in("authority-new", refused=True)
    country.province(
        "join", "--bundle", str(country.root / "bundle.json"), "--lost-authority", "--out", request,
        at=country.node,
    )  # fmt: skip
    proposal = country.here("propose", "reonboarding", request)["proposal"]
    for name in ("root-1", "root-3"):
        country.here("sign", proposal, *country.holder(name))
    country.approve()
    # 3. First sight, and every look since, by clocks that are wrong.
    country.refresh()
    assert look(**wrong) == {1}
    country.refresh(hours=70)
    assert look(**wrong) == {1}
    # 4. The clocks are set right: nobody has waited for less.
    assert look() == {1}
    # 5. And with time it rules everywhere, by itself.
    country.refresh(hours=REONBOARDING_WAIT_SECONDS // HOUR)
    assert look() == {2}


def test_a_node_alarms_at_a_change_of_its_entry_that_it_did_not_make(country: Country) -> None:
    """A change of its entry that the node did not request raises an alarm, which a person ends."""
    assert country.alarm() is None
    # 1. Somebody takes the authority's keys and a request, and publishes past the node.
    noted = (country.node / "trust" / "entry.json").read_bytes()
    old = country.root / "authority"
    new = country.authority("authority-evil", "--after", str(old / "authority.json"))
    handover = country.root / "handover.json"
    country.province(
        "authority", "handover", "--to", str(new / "authority.json"), "--out", str(handover), at=old
    )
    country.province("authority", "accept", "--handover", str(handover), at=new)
    country.hand_in("authority-evil")
    (country.node / "trust" / "entry.json").write_bytes(noted)  # it was another machine that asked
    country.approve()
    country.refresh()
    # 2. The node sees another authority than the one it asked for; `status` and `entry` say so.
    assert "new authority (link 2)" in (country.alarm() or "")
    assert "ALARM" in country.province("status", at=country.node)["own_entry"]
    # 3. It stays until a person has looked.
    assert country.alarm() is not None
    assert country.province("entry", "--accept", at=country.node)["alarm"] is None
    assert country.alarm() is None


def test_a_province_retires(country: Country) -> None:
    """After T no client takes anything that the province signs, its codes end by T2, and everybody is told."""
    signs, codes = country.now + HOUR, country.now + 48 * HOUR
    # 1. It is proposed, and one operator's yes changes nothing.
    proposal = country.here(
        "propose", "retirement", "31", "--signs-until", rfc3339(signs), "--codes-until", rfc3339(codes)
    )["proposal"]
    country.here("sign", proposal, *country.holder("operator-1"))
    assert not any(result.view.retirements for result in country.refresh().values())
    # 2. With the second it is published; every client warns of it, and so does the province's own node.
    country.here("sign", proposal, *country.holder("operator-3"))
    views = [result.view for result in country.refresh().values()]
    for view in views:
        assert any("participant 31 retires" in warning for warning in view.warnings)
    assert any("retires" in each for each in country.province("status", at=country.node)["warnings"])
    for view in views:
        issuer = view.issuers["31"]
        # 3. Until T it signs; from T on its node finds no key, and no other node takes what was signed with one.
        for purpose in (KeyPurpose.LIVE, KeyPurpose.PAPER):
            assert issuer.keys_for(purpose, signs - 1)
            assert not issuer.keys_for(purpose, signs)
        # 4. It goes on answering for the codes that are out.
        assert issuer.keys_for(KeyPurpose.ANSWER, signs + HOUR)
        # 5. A code that would live longer ends by T2.
        claims = SimpleNamespace(
            expires_at=codes + HOUR, issued_at=signs - 1, presentation=Presentation.PAPER
        )
        assert effective_expiry(claims, view.policy.in_force(country.now), issuer) == codes  # type: ignore[arg-type]  # all that is looked at


def announce(country: Country, *arguments: str) -> None:
    """Operators sign a `propose retirement`."""
    proposal = country.here("propose", "retirement", "31", *arguments)["proposal"]
    for name in ("operator-1", "operator-3"):
        country.here("sign", proposal, *country.holder(name))


def test_a_province_that_was_to_leave_stays(country: Country) -> None:
    """A retirement can be withdrawn while the province may still sign, and not later."""
    signs, codes = country.now + 2 * HOUR, country.now + 60 * HOUR
    announce(country, "--signs-until", rfc3339(signs), "--codes-until", rfc3339(codes))
    assert all(result.view.retirements for result in country.refresh().values())
    line = country.here("status")["participants"][0]["retirement"]
    assert (line["days_left"], line["note"]) == (2, "is announced, and can be withdrawn")
    # 1. It stays: its keys have their whole windows again, and nobody is told anything.
    announce(country, "--withdraw")
    for result in country.refresh().values():
        issuer = result.view.issuers["31"]
        assert (issuer.signs_until, issuer.codes_until) == (None, None)
        assert issuer.keys_for(KeyPurpose.LIVE, signs + HOUR)
        assert not result.view.retirements
        assert not any("retires" in warning for warning in result.view.warnings)
    assert "nothing was announced" in country.here("propose", "retirement", "31", "--withdraw", refused=True)
    # 2. Announced again, and signed to be withdrawn too late: it is refused at the publication.
    announce(country, "--signs-until", rfc3339(signs), "--codes-until", rfc3339(codes))
    country.refresh()
    late = country.here("propose", "retirement", "31", "--withdraw")["proposal"]
    registry = country.registry_at(signs)
    sign_proposal(registry.repository, registry.proposals, late, operator(registry, "operator-1"))
    with pytest.raises(PreconditionError, match="stopped signing codes at") as refused:
        sign_proposal(registry.repository, registry.proposals, late, operator(registry, "operator-2"))
    assert refused.value.reason is Reason.ISSUER_RETIRED
    # 3. Nor is its end moved, once it signs no more.
    later = Retirement(signs_until=signs + HOUR, codes_until=codes + HOUR)
    with pytest.raises(PreconditionError):
        draft_retirement(registry.repository, registry.proposals, "31", later)


def test_a_province_has_left(country: Country) -> None:
    """After its last code the delegation ends: its codes are refused by name, without an alarm."""
    signs, codes = country.now + HOUR, country.now + 30 * HOUR
    announce(country, "--signs-until", rfc3339(signs), "--codes-until", rfc3339(codes))
    country.refresh()
    # 1. Not before its last code has ended.
    assert "codes of participant 31 are valid until" in country.here(
        "propose", "retirement", "31", "--take-back", refused=True
    )
    early = country.registry_at(codes - 1)
    assert status_of(early)["delegations_to_take_back"] == []
    # 2. Then `status` says that it can be, and two operators do.
    country.now = codes
    registry = country.registry_at(codes)
    registry.repository.renew()
    assert "--take-back" in status_of(registry)["delegations_to_take_back"][0]
    proposal = draft_removal(registry.repository, registry.proposals, "31")
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))
    # 3. Clients let it go without a refusal; who opens the folder anew sees the same.
    for name, result in country.refresh().items():
        assert result.rejected == ()
        assert "31" not in result.view.issuers
        assert result.view.retirements["31"].codes_until == codes
        folder = country.node / "trust" if name == "node" else country.root / name
        assert "31" not in TrustStore.open(folder).view.issuers
    # 4. The registry goes on: nothing of it is due, nobody waits for its node.
    told = status_of(registry)
    assert told["delegations_to_take_back"] == []
    assert told["participants"][0]["retirement"]["note"] == "has left; its delegation is removed"
    assert told["nodes"]["UNKNOWN"] == []
    assert not [each for each in told["roles"] if "province-31" in each["role"]]
    with pytest.raises(InvalidInputError, match="already"):
        draft_removal(registry.repository, registry.proposals, "31")


@pytest.mark.parametrize("purpose", ["LIVE", "PAPER", "ANSWER", "QUESTION"])
def test_a_key_is_published_ahead_of_its_window(country: Country, purpose: str) -> None:
    """Clients have the next key an hour before it may sign; then it signs, and the old key stays valid."""
    view = TrustStore.open(country.node / "trust").view
    (before,) = view.issuers["31"].keys_for(KeyPurpose(purpose), country.now)
    # 1. The node makes the next key, the authority signs, the node publishes.
    made = country.province("keys", "rotate", "--purpose", purpose, "--start-in", "3600", at=country.node)
    kid = bytes.fromhex(made["kid"])
    bundle = country.root / "bundle.json"
    country.province(
        "authority", "sign", "--request", str(country.node / "request.json"), "--out", str(bundle),
        at=country.root / "authority",
    )  # fmt: skip
    country.publish(bundle)
    # 2. It is in every client's trust, and nobody takes what it would sign already.
    for result in country.refresh().values():
        key = result.view.issuers["31"].keys[kid]
        assert key.purpose == purpose
        assert key.not_before > country.now
        assert key not in result.view.issuers["31"].keys_for(KeyPurpose(purpose), country.now)
    shown = {line["kid"]: line["state"] for line in country.province("keys", "list", at=country.node)}
    assert shown[made["kid"]] == "published, not begun"
    # 3. The node signs with the old one until then.
    passphrase = (country.node / "passphrase").read_bytes().strip()
    ring = Keyring(country.node / "keys", passphrase, participant="31", realm=REALM)
    issuer = TrustStore.open(country.node / "trust").view.issuers["31"]
    assert ring.signing_key(KeyPurpose(purpose), issuer, country.now).public == before.public
    # 4. Its time comes: the node signs with it, and clients take both, the old one for what it signed before.
    for result in country.refresh(hours=1).values():
        issuer = result.view.issuers["31"]
        assert ring.signing_key(KeyPurpose(purpose), issuer, country.now).public == issuer.keys[kid].public
        assert {key.kid for key in issuer.keys_for(KeyPurpose(purpose), country.now)} == {kid, before.kid}
