"""Founding a realm: its keys, the first root and targets, in a ceremony or by carried files."""
