"""The published files and their versions; only this package knows how they are written and kept."""
