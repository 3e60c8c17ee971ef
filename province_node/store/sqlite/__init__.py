"""The node's store in one SQLite file."""
