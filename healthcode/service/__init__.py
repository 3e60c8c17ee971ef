"""What every service runs beside its RPCs: the trust follower, the reporter, start and stop."""
