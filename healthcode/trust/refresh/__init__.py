"""Fetches new trust files from sources and verifies them."""
