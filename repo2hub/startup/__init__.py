"""What a process needs at its start: address, webhook secret, database schema, child processes."""
