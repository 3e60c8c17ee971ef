"""What is written strictly and what is read leniently have the same fields."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel

from healthcode.policy import accountability, area, book_file, checks
from healthcode.policy.levels import rules_file
from healthcode.policy.lint import areas_form, policy_form


def fields(*models: type[BaseModel]) -> set[str]:
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


PAIRS: list[tuple[str, type[BaseModel], tuple[type[BaseModel], ...], set[str]]] = [
    ("policy", policy_form.PolicyForm2, (book_file._PolicyModel, book_file._AddedModel), set()),
    ("policy of format 1", policy_form.PolicyForm1, (book_file._PolicyModel,), set()),
    # what only people and `policy test` read
    ("row", policy_form._PlaceRule, (book_file._RuleModel,), {"remedy_zh"}),
    ("level rule", policy_form._LevelRule, (rules_file.LevelModel,), {"examples"}),
    ("conditions", policy_form._Condition, (book_file._WhenModel,), set()),
    ("conditions of levels", policy_form._LevelCondition, (rules_file._LevelWhenModel,), set()),
    ("clearing", policy_form._ClearedBy, (rules_file._ClearingModel,), set()),
    ("check", policy_form._Check, (checks.CheckModel,), set()),
    ("conditions of checks", policy_form._CheckCondition, (checks._WhenModel,), set()),
    ("thresholds", policy_form._Thresholds, (book_file._ThresholdsModel,), set()),
    ("holds", policy_form._Holds, (accountability.HoldsModel,), set()),
    ("appeal", policy_form._Appeal, (accountability.AppealsModel,), set()),
    ("lookups", policy_form._Lookups, (accountability.LookUpsModel,), set()),
    ("interval", areas_form._Interval, (area._IntervalModel,), set()),
]


@pytest.mark.parametrize(("name", "written", "read", "more"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_a_field_is_written_if_and_only_if_it_is_read(
    name: str, written: type[BaseModel], read: tuple[type[BaseModel], ...], more: set[str]
) -> None:
    """A field that one of the two gains is missing in the other until somebody says what it means."""
    assert fields(written) == fields(*read) | more, name


def test_every_part_of_a_policy_is_compared() -> None:
    """A form that is a field of the policy's form is in the list above."""
    parts = {
        inner
        for field in policy_form.PolicyForm2.model_fields.values()
        for inner in (field.annotation, *get_args(field.annotation))
        if isinstance(inner, type) and issubclass(inner, BaseModel)
    }
    listed = {pair[1] for pair in PAIRS} | {policy_form._Freshness}
    assert parts <= listed
    assert fields(policy_form._Freshness) == fields(book_file._FreshnessModel)
