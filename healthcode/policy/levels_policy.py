"""The first national policy that derives levels from evidence, to found a realm with or to propose."""

from __future__ import annotations

import json
from importlib.resources import files

from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import MAX_POLICY_BYTES
from healthcode.strict_json import load_json

__all__ = ["add_levels_policy", "levels_policy_bytes"]


def levels_policy_bytes() -> bytes:
    """The policy in a file of format 2, in force since 2020: a test realm can start with it."""
    return files("healthcode.policy").joinpath("national.2.json").read_bytes()


def add_levels_policy(present: bytes, effective_from: int) -> bytes:
    """The `present` policy file as format 2, with the policy of `levels_policy_bytes` to come at `effective_from`.

    Raises InvalidInputError if the file has that version already.
    """
    document = load_json(present, MAX_POLICY_BYTES)
    added = load_json(levels_policy_bytes(), MAX_POLICY_BYTES)
    (policy,) = added["policies"]
    if policy["version"] in {each["version"] for each in document["policies"]}:
        raise InvalidInputError(f"the policy file has version {policy['version']} already")
    added["policies"] = [*document["policies"], {**policy, "effective_from": rfc3339(effective_from)}]
    return json.dumps(added, ensure_ascii=False, indent=1).encode() + b"\n"
