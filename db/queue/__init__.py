"""A build's life: every change of a build's status, and the outbox."""
