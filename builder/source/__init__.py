"""Fetches exactly one commit and checks it."""
