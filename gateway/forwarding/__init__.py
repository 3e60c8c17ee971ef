"""Carries a signed question to the home province and its signed answer back."""
