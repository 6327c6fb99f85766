"""What a process checks and prepares at its start: address, secret, child processes."""
