"""Stores: what was acknowledged survives. The one home of `sqlite3` is `stores.sqlite`."""
