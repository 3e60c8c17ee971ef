"""What participants send: join requests, province files, revocation heads, node reports."""
