"""What a new policy or areas file changes against the one in force, in sentences for the people who sign it."""
