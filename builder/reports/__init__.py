"""Delivers reports of the outbox as commit statuses and notifications."""
