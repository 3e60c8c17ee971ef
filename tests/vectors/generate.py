"""Writes tests/vectors/wire, trust and policy, the same bytes each time; `--check` fails if anything differs.

Second implementations find the contents in tests/vectors/wire/README.md and tests/vectors/policy/README.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from healthcode.clock import rfc3339
from healthcode.identity.document import decode_document
from healthcode.identity.name import mask_name
from healthcode.policy.area import encode_areas
from healthcode.revocation.index import ISSUABLE
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.holder_tag import holder_tag
from tests.simulator.realm import NOW
from tests.vectors import code, decisions, exchange, growth, levels, revocation, verdict

FOLDER = Path(__file__).parent
PURPOSES = (KeyPurpose.LIVE, KeyPurpose.PAPER, KeyPurpose.ANSWER, KeyPurpose.QUESTION)


def refused(cases: Iterable[tuple[str, bytes | str, str]], field: str) -> list[dict[str, str]]:
    """Rows of a malformed table."""
    return [
        {"name": name, field: data if isinstance(data, str) else data.hex(), "detail": detail}
        for name, data, detail in cases
    ]


def keys() -> list[dict[str, str]]:
    """Every key that signs something in these vectors, for participants alone."""
    return [
        {
            "participant": participant,
            "purpose": purpose,
            "seed": key.seed().hex(),
            "public": key.public.hex(),
            "kid": kid(key.public).hex(),
        }
        for participant in ("00", "11", "31", "44")
        for purpose in PURPOSES
        for key in (code.key_of(participant, purpose),)
    ]


def holder_tags() -> list[dict[str, str]]:
    """Documents of each kind and their tags."""
    documents = [code.CARD, verdict.STRANGER, verdict.PASSPORT, ("14", "H12345678"), ("15", "12345678")]
    return [
        {
            "type": kind,
            "number": number,
            "salt": code.SALT.hex(),
            "tag": holder_tag(decode_document(kind, number), code.SALT).hex(),
        }
        for kind, number in documents
    ]


# full name as a person is called, with what a paste or a keyboard adds
NAMES = (
    "张小三",
    "张三",
    "张",
    "买买提·艾合买提",
    "Anna Schmidt",
    "Ame\u0301lie",
    "\u1828\u1820\u180e\u1837\u1820",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "\ufeff张小三",
    "张小三\u200b\u200f",
    "张小\ue000",
)


def names() -> list[dict[str, str]]:
    """Names of several scripts and their masks."""
    return [{"name": name, "masked": mask_name(name)} for name in NAMES]


def formats() -> list[dict[str, str]]:
    """Policy and areas files of other formats, some beyond the rules for JSON, and the word to refuse each with."""
    found = []
    for kind in ("policy", "areas"):
        newer, other, shape = f"{kind}.format_newer", f"{kind}.format", "document.field"
        for name, value, detail in (
            ("newer", f'"healthcode/{kind}/9999"', newer),
            ("newest-there-can-be", f'"healthcode/{kind}/999999"', newer),
            ("seven-digits", f'"healthcode/{kind}/1000000"', other),
            ("zero", f'"healthcode/{kind}/0"', other),
            ("leading-zero", f'"healthcode/{kind}/09999"', other),
            ("sign", f'"healthcode/{kind}/+9999"', other),
            ("fraction", f'"healthcode/{kind}/9999.5"', other),
            ("other-digits", f'"healthcode/{kind}/９９９９"', other),
            ("space", f'"healthcode/{kind}/9999 "', other),
            ("line-feed", f'"healthcode/{kind}/9999\\n"', other),
            ("another-kind", '"healthcode/officers/9999"', other),
            ("number", "9999", shape),
        ):
            found.append(
                {"name": f"{kind}-{name}", "kind": kind, "file": f'{{"format":{value}}}', "detail": detail}
            )
        for name, value, detail in (
            ("16-levels", "[" * 15 + "]" * 15, newer),
            ("17-levels", "[" * 15 + "1" + "]" * 15, "json.depth"),
            ("60-levels", "[" * 60 + "]" * 60, "json.depth"),
            ("19-digits", "9" * 19, newer),
            ("20-digits", "9" * 20, "json.number"),
            ("sign-and-19-digits", "-" + "9" * 19, "json.number"),
            ("key-twice", '{"b":1,"b":1}', "json.duplicate_key"),
            ("half-a-surrogate-pair", '"\\ud800"', "json.encoding"),
        ):
            file = f'{{"format":"healthcode/{kind}/9999","a":{value}}}'
            found.append({"name": f"{kind}-{name}", "kind": kind, "file": file, "detail": detail})
    return found


def documents() -> dict[str, dict[str, Any]]:
    """File name to content."""
    common = {"realm": code.REALM, "now": rfc3339(NOW)}
    return {
        "keys.json": {**common, "keys": keys()},
        "codes.json": {**common, "codes": code.valid_codes()},
        "malformed_codes.json": {**common, "codes": refused(code.malformed_codes(), "text")},
        "exchange.json": {
            **common,
            "questions": exchange.questions(),
            "answers": exchange.answers(),
            "malformed_questions": refused(exchange.malformed_questions(), "cose"),
            "malformed_answers": refused(exchange.malformed_answers(), "cose"),
        },
        "checkpoints.json": {**common, **growth.document()},
        "index.json": {"issuable": ISSUABLE, "schemes": revocation.indices()},
        "lists.json": {
            **common,
            "issuer": "31",
            "day": revocation.DAY,
            "max_entries": 1 << 24,
            "lists": revocation.lists(),
            "malformed": refused(revocation.malformed_lists(), "bytes"),
        },
        "deltas.json": {
            **common,
            "issuer": "31",
            "day": revocation.DAY,
            "deltas": revocation.deltas(),
            "wrong": [{**row, "detail": detail} for row, detail in revocation.wrong_deltas()],
            "choices": revocation.choices(),
        },
        "heads.json": {
            **common,
            "issuer": "31",
            "heads": revocation.heads(),
            "later": revocation.later_heads(),
            "malformed": refused(revocation.malformed_heads(), "bytes"),
        },
        "holder_tags.json": {"tags": holder_tags()},
        "names.json": {"names": names()},
        "formats.json": {"formats": formats()},
        "verdicts.json": {
            **common,
            "trust": "../trust",
            "root_fingerprint": verdict.realm().fingerprint,
            "verdicts": verdict.verdicts(),
        },
        "rulings.json": {
            "policy": "healthcode/policy/national.json",
            "columns": ["outcome", "level", "trust_tier", "decision", "rule"],
            "rulings": verdict.rulings(),
        },
    }


def policy_documents() -> dict[str, Any]:
    """File name to content, of tests/vectors/policy."""
    common = {"now": rfc3339(levels.NOW), "policy": "policy.json", "areas": "areas.json"}
    facts = ["place_type", "area_code", "person_category"]
    return {
        "policy.json": levels.policy_file(),
        **{name: json.loads(encode_areas(areas)) for name, areas in levels.FILES.items()},
        "levels.json": {"policy": "policy.json", "levels": levels.levels()},
        "decisions.json": {
            **common,
            "columns": ["outcome", "level", "trust_tier", *facts, "decision", "rule"],
            "rows": decisions.decisions(),
        },
        "requirements.json": {
            **common,
            "columns": [*facts, "areas", "requirement", "rule"],
            "rows": decisions.requirements(),
        },
        "unknown_words.json": {"policies": decisions.unknown_words()},
        "malformed.json": decisions.malformed(),
    }


def _text(content: dict[str, Any]) -> bytes:
    """Indented JSON; a table (`rows`) has one row a line."""
    if "rows" not in content:
        return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
    head = json.dumps({name: value for name, value in content.items() if name != "rows"})
    rows = ",\n ".join(json.dumps(row) for row in content["rows"])
    return f'{head[:-1]}, "rows": [\n {rows}\n]}}\n'.encode()


def files() -> dict[Path, bytes]:
    """Every generated file by its place below tests/vectors."""
    made = {
        Path("wire") / name: (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
        for name, content in documents().items()
    }
    made.update({Path("policy") / name: _text(content) for name, content in policy_documents().items()})
    made.update({Path("trust") / path: data for path, data in verdict.realm().files.items()})
    return made


def present() -> set[Path]:
    """Every file that is there and was generated."""
    return {
        path.relative_to(FOLDER)
        for folder in ("wire", "trust", "policy")
        for path in (FOLDER / folder).rglob("*")
        if path.is_file() and path.name != "README.md"
    }


def main(arguments: list[str]) -> int:
    made = files()
    stale = present() - set(made)
    changed = [
        path
        for path, data in made.items()
        if not (FOLDER / path).is_file() or (FOLDER / path).read_bytes() != data
    ]
    if arguments == ["--check"]:
        for path in sorted({*stale, *changed}):
            print(f"tests/vectors/{path} is not what the generator writes")  # noqa: T201  a script's answer
        return 1 if stale or changed else 0
    for path in changed:
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(made[path])
    for path in stale:
        (FOLDER / path).unlink()
    print(f"{len(made)} files, {len(changed)} written, {len(stale)} removed")  # noqa: T201  a script's answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
