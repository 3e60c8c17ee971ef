"""What a policy or areas file must be before people sign it. Readers are lenient; writers are strict."""
