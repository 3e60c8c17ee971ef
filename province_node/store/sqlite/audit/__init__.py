"""The audit log on SQLite: rows, the tree over them, and what reads them."""
