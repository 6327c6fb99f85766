"""Asking a running service over its HTTP API."""
