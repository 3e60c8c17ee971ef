"""What a new policy changes, for those who sign it."""

from __future__ import annotations

import json
from typing import Any

from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.diff.policy_diff import PolicyChange, find_policy_changes, policy_lines
from healthcode.policy.levels_policy import levels_policy_bytes

Written = dict[str, Any]


def national() -> Written:
    loaded: Written = json.loads(levels_policy_bytes())
    return loaded


def following(**changes: Any) -> tuple[Written, Written]:
    """A file with the national policy, and one to come; and that one, to change."""
    written = national()
    coming = {**json.loads(json.dumps(written["policies"][0])), "version": "27.2", **changes}
    coming["effective_from"] = "2027-03-01T00:00:00Z"
    written["policies"].append(coming)
    return written, coming


def encoded(written: Written) -> bytes:
    return json.dumps(written, ensure_ascii=False).encode()


def the_change(written: Written) -> PolicyChange:
    (found,) = find_policy_changes(levels_policy_bytes(), encoded(written))
    return found


def row(policy: Written, name: str, table: str = "levels") -> Written:
    found: Written = next(each for each in policy[table] if each["id"] == name)
    return found


def test_the_same_policies_change_nothing() -> None:
    """However they are written."""
    old = default_policy_bytes()
    assert find_policy_changes(old, encoded(json.loads(old))) == []
    assert policy_lines([]) == ["Nothing changes."]


def test_a_flip_names_its_rules_and_all_its_facts() -> None:
    """One word in one row: one group, of exactly the facts that decide otherwise."""
    written, coming = following()
    row(coming, "N-YELLOW-1", "places")["decision"] = "REFUSE"
    change = the_change(written)
    (flips,) = change.flips
    assert (flips.before, flips.after, flips.is_stricter) == ("FURTHER_CHECK", "REFUSE", True)
    # YELLOW and VALID: 3 tiers, 11 places, 4 areas, 2 categories, without the six places in HIGH areas
    assert (flips.count, flips.is_whole) == (3 * 11 * 4 * 2 - 3 * 6 * 1 * 2, False)
    assert flips.when == {"outcome": ("VALID",), "level": ("YELLOW",)}
    assert "228 of 25,872 decisions flip (228 stricter, 0 milder)" in change.sentence
    assert change.sentence.startswith("Policy 27.2 begins 2027-03-01T00:00:00Z and replaces 27.1: ")


def test_checks_and_settings_that_change_are_told() -> None:
    """Where codes are no longer checked is a change like a decision."""
    written, coming = following(reuse_seconds=60)
    coming["freshness"]["default"]["aging_seconds"] = 43_200
    coming["retention_days"]["TEST"] = 90
    row(coming, "C-LOW-1", "checks")["when"]["place"].append("STATION")
    change = the_change(written)
    (flips,) = change.checks
    assert (flips.before, flips.after, flips.is_stricter) == ("CHECK", "CHECK_NOT_REQUIRED", False)
    assert flips.when == {"place": ("STATION",), "area": ("LOW",), "category": ("GENERAL",)}
    assert change.settings[:2] == [
        "freshness: fresh_seconds 900 s, aging_seconds 1 days → fresh_seconds 900 s, aging_seconds 12 hours",
        "reuse_seconds: 300 s → 60 s",
    ]
    assert change.settings[2].startswith("retention_seconds: TEST 30 days, ")
    assert "→ TEST 90 days, VACCINATION 30 days" in change.settings[2]
    assert change.flips == []


def test_whose_level_comes_back_is_told() -> None:
    """The policy in force judges all evidence: a longer or harder rule takes up what was over."""
    written, coming = following()
    stay, contact = row(coming, "L-A7-1"), row(coming, "L-B5-1")
    stay["lasts_days"] = 21
    stay["when"]["stay_minutes_at_least"] = 30
    contact["cleared_by"]["negative_tests"] = 3
    row(coming, "L-A6-1")["needs"] = []
    levels = the_change(written).levels
    assert levels.rules[0] == "L-A6-1: needs instrument → none"
    assert "lasts_days 14 days → 21 days" in levels.rules[1]
    assert levels.revived == (
        "QUARANTINE_ORDER RETURNEE → RED (L-A6-1): evidence without instrument counted for nothing",
        "AREA_STAY HIGH → RED (L-A7-1): evidence 14 to 21 days old had ended",
        "AREA_STAY HIGH → RED (L-A7-1): stays of 30 to 60 minutes were too short",
        "CONTACT CONVEYANCE → YELLOW (L-B5-1): who was cleared by 2 negatives 24 h apart now needs 3 negatives 24 h apart",
    )


def test_evidence_that_had_no_rule_or_a_milder_one_is_told() -> None:
    """A new rule reaches back as far as it lasts."""
    written, coming = following()
    coming["levels"].remove(row(coming, "L-B3-1"))
    row(coming, "L-A4-2")["when"]["finding"].append("OVERLAP")
    overlap = the_change(written).levels
    assert "CONTACT OVERLAP → RED (L-A4-2): evidence of the last 7 days made YELLOW" in overlap.revived
    assert any(each.startswith("L-B3-1 is gone: CONTACT OVERLAP makes YELLOW") for each in overlap.rules)
    # and back again: what had no rule has one
    old, _ = following()
    policy = old["policies"][0]
    policy["levels"].remove(row(policy, "L-B3-1"))
    (change,) = find_policy_changes(encoded({**old, "policies": [policy]}), encoded(old))
    assert change.levels.revived == (
        "CONTACT OVERLAP → YELLOW (L-B3-1): evidence of the last 14 days had no rule",
    )


def test_a_milder_policy_revives_nothing() -> None:
    """Shorter, easier rules end grounds; nobody's level comes back."""
    written, coming = following()
    row(coming, "L-A7-1")["lasts_days"] = 10
    row(coming, "L-B5-1")["cleared_by"]["apart_hours"] = 12
    levels = the_change(written).levels
    assert len(levels.rules) == 2
    assert levels.revived == ()


def test_the_upgrade_from_format_1_is_told() -> None:
    """Levels that were stated become orders, and hospitals refuse nobody any more."""
    changes = find_policy_changes(default_policy_bytes(), levels_policy_bytes())
    lines = "\n".join(policy_lines(changes))
    assert "levels are derived from evidence from now on, by 15 rules" in lines
    assert "levels that were stated become orders with an end" in lines
    assert (
        "REFUSE → FURTHER_CHECK (N-RED-1 → N-HOSPITAL-1): outcome VALID; level RED; place HOSPITAL" in lines
    )
    assert lines.endswith("Policy 2026.1 is taken out of the file.")


def test_an_emergency_and_a_first_policy_say_so() -> None:
    """An emergency shortens the notice, so it stands in the sentence."""
    written, _ = following(emergency=True)
    assert "AS AN EMERGENCY" in the_change(written).sentence
    (first,) = find_policy_changes(None, levels_policy_bytes())
    assert first.sentence.endswith("nothing is in force before it.")
    assert json.dumps(first.to_dict())


def test_a_change_of_words_alone_is_told() -> None:
    """People read the remedies and texts, and no decision shows that they changed."""
    written, coming = following()
    row(coming, "N-RED-1", "places")["remedy_zh"] = "请回家。"
    row(coming, "L-A1-1")["text"] = "Other words."
    change = the_change(written)
    assert [each.split(":")[0] for each in change.texts] == ["N-RED-1 remedy_zh", "L-A1-1 text"]
    assert change.texts[0].endswith("→ '请回家。'")
    assert "2 texts in other words" in change.sentence


def test_a_policy_in_force_that_is_edited_is_called_so() -> None:
    """The same version with other content is no new policy."""
    written = national()
    written["policies"][0]["reuse_seconds"] = 60
    change = the_change(written)
    assert change.sentence == ("Policy 27.1 IS CHANGED, and begins 2020-01-01T00:00:00Z: 1 other change.")
