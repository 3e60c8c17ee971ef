"""Founds a realm: the first root, from the key holders' cards or by carried files."""
