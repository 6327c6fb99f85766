"""The plain alternatives that are measured beside our service."""
