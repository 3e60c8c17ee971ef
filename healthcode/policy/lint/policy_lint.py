"""`healthcode policy lint`: all that is wrong with a policy file, before people sign it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthcode.errors import DecodeError
from healthcode.policy.book import Policy
from healthcode.policy.book_file import MAX_POLICY_BYTES, decode_policy
from healthcode.policy.lint.example import lint_example
from healthcode.policy.lint.level_lint import lint_levels
from healthcode.policy.lint.policy_form import BookForm, PolicyForm1, PolicyForm2
from healthcode.policy.lint.problem import Problem, Severity, check_problems, placed
from healthcode.policy.lint.table_lint import lint_checks, lint_places
from healthcode.policy.lint.witness import lint_witnesses
from healthcode.policy.lint.written_model import find_unknown
from healthcode.strict_json import load_json

__all__ = ["check_policy", "lint_policy"]

_DERIVING = "healthcode/policy/2"


def check_policy(data: bytes) -> None:
    """Refuses a policy file that must not be signed. Raises InvalidInputError, which names each error."""
    check_problems("the policy", lint_policy(data))


def lint_policy(data: bytes) -> list[Problem]:
    """The problems of a policy file. A file without an ERROR decodes, and every word in it is known."""
    try:
        document = load_json(data, MAX_POLICY_BYTES)
    except DecodeError as error:
        return [Problem("", error.message)]
    # what an unknown word does to the tables is noise beside the word itself
    if problems := _lint_form(document):
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


def _lint_form(document: Any) -> list[Problem]:
    problems = find_unknown(BookForm, document)
    if problems:
        return problems
    for number, policy in enumerate(document["policies"]):
        is_of_format_1 = document["format"] != _DERIVING or policy.keys() <= PolicyForm1.model_fields.keys()
        name = policy.get("version")
        path = f"policies[{name if isinstance(name, str) and name.isprintable() else number}]"
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
