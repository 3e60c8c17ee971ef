"""Health code mutual recognition: the standard and its SDK. Only the names in `__all__` are public.

verdict = Verifier(TrustStore.open("/var/lib/healthcode/trust")).verify(text, place="STATION")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from healthcode.errors import HealthcodeError
    from healthcode.policy.words import Decision, Outcome
    from healthcode.trust.store import TrustStore
    from healthcode.verification.verdict import Verdict
    from healthcode.verification.verifier import Verifier
    from healthcode.wire.claims import Level
    from healthcode.wire.scan import clean_scan

__all__ = [
    "Decision",
    "HealthcodeError",
    "Level",
    "Outcome",
    "TrustStore",
    "Verdict",
    "Verifier",
    "clean_scan",
]

# imported on first use, so that `import healthcode.errors` loads nothing else
_HOMES = {
    "Decision": "healthcode.policy.words",
    "HealthcodeError": "healthcode.errors",
    "Level": "healthcode.wire.claims",
    "Outcome": "healthcode.policy.words",
    "TrustStore": "healthcode.trust.store",
    "Verdict": "healthcode.verification.verdict",
    "Verifier": "healthcode.verification.verifier",
    "clean_scan": "healthcode.wire.scan",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'healthcode' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value
