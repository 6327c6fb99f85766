"""Answers for programs under /api/v1, badges and launch links."""
