"""Fetches exactly one commit and validates it."""
