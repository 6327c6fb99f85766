"""GitHub's webhook deliveries: verify, parse, handle."""
