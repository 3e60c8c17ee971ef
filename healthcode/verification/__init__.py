"""Verification: a pure function from trust, a code and a time to one Verdict."""
