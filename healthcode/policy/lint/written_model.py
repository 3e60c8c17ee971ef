"""JSON files as we write them: every field and every word must be known. Readers pass over newer ones."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from healthcode.policy.lint.problem import Problem, nearest

__all__ = ["WrittenModel", "find_unknown", "one_of", "path_to"]

_UNKNOWN = "unknown_word"
_LONGEST = 60


class WrittenModel(BaseModel):
    """A part of a file. Unknown fields are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


def one_of(words: Iterable[str]) -> AfterValidator:
    """Refuses a text that is none of these words."""
    known = tuple(str(word) for word in words)

    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError(_UNKNOWN, "is unknown", {"known": known})
        return value

    return AfterValidator(check)


def find_unknown(model: type[WrittenModel], value: Any) -> list[Problem]:
    """What `model` refuses in a JSON value: unknown fields and words, missing fields, wrong types."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return [_problem(model, value, each) for each in error.errors(include_url=False)]
    return []


def _problem(model: type[WrittenModel], value: Any, error: ErrorDetails) -> Problem:
    # pydantic marks the keys of objects
    loc = tuple(part for part in error["loc"] if part != "[key]")
    path = path_to(value, loc)
    if error["type"] == "extra_forbidden":
        return Problem(path, f"unknown field {loc[-1]!r}; {nearest(str(loc[-1]), _fields(model, loc[:-1]))}")
    given = _shown(error["input"])
    if error["type"] == _UNKNOWN:
        return Problem(path, f"unknown word {given}; {nearest(error['input'], error['ctx']['known'])}")
    if error["type"] == "missing":
        return Problem(path, "is missing")
    return Problem(path, f"{given}: {error['msg'].removeprefix('Value error, ')}")


def path_to(value: Any, loc: Iterable[int | str]) -> str:
    """`loc` in a JSON value as text, e.g. `policies[2027.1].places[N-PASS-1].when.level[0]`."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
            name = value.get("id", value.get("version")) if isinstance(value, Mapping) else None
            path += f"[{name if isinstance(name, str) and name.isprintable() else part}]"
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
            path += f".{part}" if path else part
    return path


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return "an object" if isinstance(value, Mapping) else "a list"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _fields(model: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """The names of the fields that the object at `loc` may have."""
    kind: Any = model
    for part in loc:
        kind = _inside(kind, part)
    return list(_named(kind))


def _inside(kind: Any, part: int | str) -> Any:
    """The type of a part of a `kind`: of a field, of a list's items or of an object's values."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found: Any = _named(kind)[str(part)].annotation
    else:
        found = get_args(kind)[-1]
    while get_origin(found) in {Union, types.UnionType, Annotated}:
        found = get_args(found)[0]  # the type stands first, None or the conditions after it
    return found


def _named(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in kind.model_fields.items()}
