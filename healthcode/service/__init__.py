"""What every service runs besides its RPCs: trust follower, reporter, start and stop."""
