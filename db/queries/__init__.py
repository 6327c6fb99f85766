"""Reads that join tables, for lookups, pages, badges and metrics."""
