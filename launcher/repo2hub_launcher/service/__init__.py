"""Asking the build service, as the user whose server starts."""
