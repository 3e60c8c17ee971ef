"""A federation on one machine: real commands, real processes, mTLS over loopback."""
