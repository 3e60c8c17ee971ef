"""Issues and revokes codes, and kills the keys that signed them."""
