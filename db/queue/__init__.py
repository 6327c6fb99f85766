"""The build queue: every change of a build's status, user quotas, and the outbox of reports."""
