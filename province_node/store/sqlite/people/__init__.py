"""Sources, documents, evidence and derived levels on SQLite."""
