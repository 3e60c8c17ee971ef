"""Signed files (The Update Framework) that say what each participant may do, and any source may carry."""
