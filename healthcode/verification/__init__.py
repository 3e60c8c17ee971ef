"""Verification: from trust, a code and a time to one Verdict. Pure."""
