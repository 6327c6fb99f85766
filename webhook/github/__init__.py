"""Verify, parse and handle GitHub's webhook deliveries."""
