"""A registry restored from an old copy publishes above what nodes prove; a province that is down blocks nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from healthcode.errors import ConflictError, Reason
from healthcode.trust.format.layout import AREAS_ROLE, metadata_file
from tests.simulator.country import REALM, Country
from tests.simulator.registry import Province, admit
from trust_registry.mirror.export import export_tree
from trust_registry.monitoring.status import status_of
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.retention import remove_superseded


@pytest.fixture
def country(tmp_path: Path) -> Country:
    """Restored from yesterday's backup; 31 published twice since; node A has all of it, B half."""
    country = Country(tmp_path)
    country.revoke("31", 1)
    country.revoke("44", 1)
    country.back_up()
    country.revoke("31", 2)
    country.refresh("B")
    country.revoke("31", 3)
    country.revoke("44", 2)
    country.refresh("A")
    country.restore()
    assert country.prove("A")
    return country


def test_a_dark_province_holds_up_nobody(country: Country) -> None:
    """31 is down and its newest head is lost: 44's news reach all nodes, and no revocation of 31 is lost."""
    country.revoke("44", 3)
    for node, known in (("A", {1, 2, 3}), ("B", {1, 2})):
        found = country.refresh(node)
        assert country.refused(node, "44") == {1, 2, 3}
        assert country.refused(node, "31") == known, "what was refused is refused"
        assert ["31"] * (node == "B") == [each.participant for each in found.rejected], (
            "who lacks it is told so"
        )
    country.revoke("31", 4)  # it is back, and its node goes on above what it knows
    for node in ("A", "B"):
        assert country.refresh(node).rejected == ()
        assert country.refused(node, "31") == {1, 2, 3, 4}


def test_a_new_node_is_given_nothing_old(country: Country) -> None:
    """A node that starts while 31's head is lost gets no older head, which would accept revoked codes."""
    found = country.refresh("C")
    assert [each.participant for each in found.rejected] == ["31", "44"]
    assert found.view.issuers["31"].revocations is None
    country.revoke("31", 4)
    country.revoke("44", 3)
    country.refresh("C")
    assert country.refused("C", "31") == {1, 2, 3, 4}


def test_what_is_lacking_is_known_and_asked_for(country: Country) -> None:
    """The registry names what it lost until the owner has sent it."""
    published = country.registry.repository.published()
    assert dict(published.lacking) == {"province-31-live": 3, "province-44-live": 2}
    country.revoke("44", 3)
    assert set(country.registry.repository.published().lacking) == {"province-31-live"}
    country.revoke("31", 4)
    assert not country.registry.repository.published().lacking


def test_yesterdays_head_is_not_taken_for_todays(country: Country) -> None:
    """A node that was restored too cannot publish at or below the version that others have."""
    country.versions["31"] = 2
    with pytest.raises(ConflictError) as refused:
        country.publish("31")
    assert refused.value.reason is Reason.VERSION_CONFLICT
    assert country.refresh("A").rejected == ()


def test_versions_may_skip_only_until_the_role_is_in_step(country: Country) -> None:
    """The owner may skip versions once; after that only the next version is accepted."""
    country.versions["31"] += 6
    country.revoke("31", 4)
    country.versions["31"] += 1
    with pytest.raises(ConflictError):
        country.publish("31")
    country.versions["44"] += 1001
    with pytest.raises(ConflictError):
        country.publish("44")


def test_what_an_authority_signed_is_handed_in_again(tmp_path: Path) -> None:
    """The node sends the authority's newest files again as they are; no other version is accepted instead."""
    country = Country(tmp_path)
    country.revoke("31", 1)
    country.back_up()
    country.publish_province("31", 2)
    country.publish_province("31", 3)
    country.refresh("A")
    country.restore()
    country.prove("A")
    assert dict(country.registry.repository.published().lacking) == {"province-31": 3}
    found = country.refresh("A")
    assert (found.rejected, found.view.issuers["31"].province_version) == ((), 3)
    with pytest.raises(ConflictError):
        country.publish_province("31", 2)
    country.publish_province("31", 3)
    assert not country.registry.repository.published().lacking
    assert country.refresh("C").view.issuers["31"].province_version == 3
    country.publish_province("31", 4)
    assert country.refresh("A").view.issuers["31"].province_version == 4


def test_a_participant_admitted_since_keeps_its_place_in_snapshot(tmp_path: Path) -> None:
    """The snapshot names roles that the restored tree does not know: clients refuse a snapshot that forgets one."""
    country = Country(tmp_path)
    country.revoke("44", 1)
    country.back_up()
    country.provinces["51"] = Province("51", REALM)
    country.versions["51"], country.revoked["51"] = 0, set()
    admit(country.registry, country.provinces["51"])
    country.revoke("51", 7)
    country.refresh("A")
    country.restore()
    country.prove("A")
    lacking = country.registry.repository.published().lacking
    assert set(lacking) == {"targets", "province-51", "province-51-live"}
    country.revoke("44", 2)
    assert country.refresh("A").rejected == ()
    assert country.refused("A", "44") == {1, 2}
    assert country.refused("A", "51") == {7}


def test_what_stands_for_a_lost_file_is_kept_and_nothing_lost_is_exported(
    country: Country, tmp_path: Path
) -> None:
    """Retention keeps the newest file that is here; a mirror is complete except for lost files."""
    remove_superseded(country.registry.repository, -1)
    assert country.registry.repository.published().held_version("province-31-live") == 1
    export_tree(country.registry.repository, tmp_path / "mirror", keep_seconds=3600)
    assert not (tmp_path / "mirror" / metadata_file("province-31-live", 3)).exists()
    country.revoke("31", 4)
    assert country.refresh("A").rejected == ()


def test_areas_are_signed_anew_above_what_was_given_out(tmp_path: Path) -> None:
    """The registry signs them itself, so they are never lacking."""
    country = Country(tmp_path)
    country.back_up()
    country.clock.at += 86_400 + 7200  # half of their life
    country.registry.repository.renew()
    country.refresh("A")
    country.restore()
    country.prove("A")
    published = country.registry.repository.published()
    assert published.version_of(AREAS_ROLE) == 3
    assert not published.lacking
    assert country.refresh("A").rejected == ()


@pytest.mark.parametrize("step", ["high_water", "published"])
def test_a_kill_while_resuming_is_made_good_at_the_next_start(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The high-water versions are written first; the renewal at the next start publishes above them."""
    country = Country(tmp_path)
    country.revoke("31", 1)
    country.back_up()
    country.revoke("31", 2)
    country.refresh("A")
    country.restore()

    def cut(_writing: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if step == "high_water":
            patched.setattr("trust_registry.tree.transaction.Transaction.resume", cut)
        resume: Callable[[], bool] = lambda: country.prove("A")  # noqa: E731  it reads better here
        if step == "high_water":
            with pytest.raises(KeyboardInterrupt):
                resume()
        else:
            resume()
    before = (country.registry.folder.repository / TIMESTAMP_FILE).read_bytes()
    country.registry.repository.renew()
    assert (country.registry.folder.repository / TIMESTAMP_FILE).read_bytes() != before
    assert country.registry.repository.published().version_of("province-31-live") == 2
    assert country.refresh("A").rejected == ()


def test_status_names_what_is_lacking_and_who_brings_it(country: Country) -> None:
    """An operator sees each role, which version is here, and who brings the newest back."""
    lacking = {each["role"]: each for each in status_of(country.registry)["lacking"]}
    assert lacking["province-31-live"] == {
        "role": "province-31-live",
        "version": 3,
        "held": 1,
        "what": "the node of Shanghai signs the next version when it reports",
    }
    country.revoke("31", 4)
    country.revoke("44", 3)
    assert status_of(country.registry)["lacking"] == []
