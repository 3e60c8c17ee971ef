"""`healthcode policy lint`: all that is wrong with a policy file, before people sign it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthcode.errors import DecodeError
from healthcode.policy.book import Policy
from healthcode.policy.book_file import MAX_POLICY_BYTES, NEWEST_POLICY_FORMAT, decode_policy
from healthcode.policy.json_model import load_versioned
from healthcode.policy.lint.example import lint_example
from healthcode.policy.lint.level_lint import lint_levels
from healthcode.policy.lint.policy_form import BookForm, PolicyForm1, PolicyForm2
from healthcode.policy.lint.problem import Problem, Severity, check_problems, placed
from healthcode.policy.lint.table_lint import lint_checks, lint_places
from healthcode.policy.lint.witness import lint_witnesses
from healthcode.policy.lint.written_model import find_unknown

__all__ = ["check_policy", "lint_policy"]

_DERIVING = 2


def check_policy(data: bytes) -> None:
    """Refuses a policy file that must not be signed.

    Raises InvalidInputError, which names each error; DecodeError for no file of a policy format that is read here.
    """
    _load(data)
    check_problems("the policy", lint_policy(data))


def lint_policy(data: bytes) -> list[Problem]:
    """The problems of a policy file. A file without an ERROR decodes, and every word in it is known."""
    try:
        number, document = _load(data)
    except DecodeError as error:
        return [Problem("file", error.message)]
    # what an unknown word does to the tables is noise beside the word itself
    if problems := _lint_form(number, document):
        return problems
    try:
        book = decode_policy(data)
    except DecodeError as error:
        return [Problem("policies", error.message)]
    decoded = {policy.version: policy for policy in book.policies}
    return [
        problem
        for written in document["policies"]
        for problem in placed(f"policies[{written['version']}]", _lint(decoded[written["version"]], written))
    ]


def _load(data: bytes) -> tuple[int, Any]:
    return load_versioned(data, "policy", newest=NEWEST_POLICY_FORMAT, max_bytes=MAX_POLICY_BYTES)


def _lint_form(number: int, document: Any) -> list[Problem]:
    problems = find_unknown(BookForm, document)
    if problems:
        return problems
    for place, policy in enumerate(document["policies"]):
        is_of_format_1 = number < _DERIVING or policy.keys() <= PolicyForm1.model_fields.keys()
        name = policy.get("version")
        path = f"policies[{name if isinstance(name, str) and name.isprintable() else place}]"
        problems += placed(path, find_unknown(PolicyForm1 if is_of_format_1 else PolicyForm2, policy))
    return problems


def _lint(policy: Policy, written: Mapping[str, Any]) -> Iterator[Problem]:
    if policy.levels is None:
        # the first national policy refuses at hospitals, and is in force
        yield from lint_places(policy, written["places"], hospital=Severity.WARNING)
        return
    yield from lint_levels(written)
    yield from lint_witnesses(policy.levels)
    for rule in written["levels"]:
        for number, example in enumerate(rule.get("examples", ())):
            yield from placed(f"levels[{rule['id']}].examples[{number}]", lint_example(example))
    yield from lint_checks(written["checks"])
    yield from lint_places(policy, written["places"], hospital=Severity.ERROR)
