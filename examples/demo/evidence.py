"""What sources report in the demo: lines of evidence about its holders, imported as a file."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from examples.demo.federation import Federation
from examples.demo.process import run
from examples.holders import PATH as HOLDERS
from healthcode.clock import rfc3339

__all__ = ["DAY", "HOUR", "NEGATIVE", "person", "report", "row"]

HOUR, DAY = 3600, 86_400
NEGATIVE = {"kind": "TEST", "finding": "NEGATIVE", "method": "NUCLEIC"}


def person(holder: int) -> dict[str, str]:
    """A line of the holders' file."""
    found: dict[str, str] = json.loads(HOLDERS.read_text(encoding="utf-8").splitlines()[holder])
    return found


def row(holder: int, **fields: Any) -> dict[str, Any]:
    """A line of evidence about a holder. Times are given as seconds ago."""
    now, about = int(time.time()), person(holder)
    times = {name: rfc3339(now - value) for name, value in fields.items() if isinstance(value, int)}
    document = {name: about[name] for name in ("document_type", "number")}
    return {"record": uuid.uuid4().hex, **document, **fields, **times}


def report(federation: Federation, home: str, source: str, *rows: Mapping[str, Any]) -> None:
    """A source of this participant imports a file of these lines."""
    file = federation.root / f"{source}-{uuid.uuid4().hex[:8]}.ndjson"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    run("province-node", "evidence", "import", file, "--as", federation.source(home, source))
