"""The `healthcode` command, and what all our commands share (`console`)."""
