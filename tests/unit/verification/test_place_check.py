"""Whether a place must check codes, by the trust in use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthcode.errors import Reason
from healthcode.policy.checks import CheckRequired
from healthcode.trust.view import TrustView
from healthcode.verification.place_check import check_place
from healthcode.verification.verifier import Verifier
from tests.simulator.realm import NOW, SimulatedRealm
from tests.world.level_rules import format_2_book

LOW = "330106"


@pytest.fixture(scope="module")
def old_view(tmp_path_factory: pytest.TempPathFactory) -> TrustView:
    realm = SimulatedRealm()
    return realm.client(tmp_path_factory.mktemp("trust")).refresh(NOW).view


@pytest.fixture
def view(old_view: TrustView) -> TrustView:
    return replace(old_view, policy=format_2_book())


def test_a_low_risk_park_asks_for_no_code(view: TrustView) -> None:
    """R7: for everybody but special persons; the answer names row, policy and the areas file."""
    found = check_place(view, "park", LOW, "", NOW)
    assert found.required is CheckRequired.CHECK_NOT_REQUIRED
    assert (found.rule, found.policy_version, found.warnings) == ("C-LOW-1", "27.1", ())
    assert found.areas_as_of == view.areas.as_of
    assert check_place(view, "PARK", LOW, "SPECIAL", NOW).required is CheckRequired.CHECK
    assert Verifier(view).requirement(place="PARK", area=LOW, now=NOW) == found


def test_a_policy_of_format_1_checks_everywhere(old_view: TrustView) -> None:
    """It has no row that could waive anything."""
    found = check_place(old_view, "PARK", LOW, "GENERAL", NOW)
    assert (found.required, found.rule) == (CheckRequired.CHECK, "")


@pytest.mark.parametrize(
    ("asked", "warning"),
    [
        (("", LOW, ""), ()),
        (("PARKK", LOW, ""), ("UNKNOWN_PLACE_TYPE",)),
        (("99", LOW, ""), ("UNKNOWN_PLACE_TYPE",)),
        (("PARK", "", ""), ()),
        (("PARK", "33010", ""), ("INVALID_AREA_CODE",)),
        (("PARK", LOW, "99"), ("UNKNOWN_PERSON_CATEGORY",)),
        (("PARK", "310115", ""), ()),
        (("HOSPITAL", LOW, ""), ()),
    ],
)
def test_what_is_not_stated_or_not_known_is_checked(
    view: TrustView, asked: tuple[str, str, str], warning: tuple[str, ...]
) -> None:
    """Never an error: a typing error must not open a door, and must not stop a turnstile."""
    found = check_place(view, *asked, NOW)
    assert (found.required, found.warnings) == (CheckRequired.CHECK, warning)


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"areas_expires": NOW}, ("AREAS_OUTDATED",)),
        ({"areas_expires": None}, ()),
        ({"held_back": {"areas": Reason.TRUST_ROLLBACK}}, ("AREAS_OUTDATED",)),
        ({"is_superseded": True, "is_damaged": True}, ("AREAS_OUTDATED", "TRUST_DAMAGED")),
    ],
)
def test_areas_that_may_be_outdated_waive_nothing(
    view: TrustView, changes: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    """Expired, missing, refused here, or lost from the folder: an area may have turned HIGH since."""
    found = check_place(replace(view, **changes), "PARK", LOW, "", NOW)
    assert (found.required, found.warnings) == (CheckRequired.CHECK, warnings)


def test_a_slow_clock_keeps_no_areas_in_force(view: TrustView) -> None:
    """Signed time proves that the file has expired, whatever this machine's clock says."""
    assert view.areas_expires is not None
    later = replace(view, timestamp_signed_at=view.areas_expires)
    found = check_place(later, "PARK", LOW, "", NOW)
    assert found.required is CheckRequired.CHECK
    assert found.warnings == ("AREAS_OUTDATED", "CLOCK_BEHIND")
