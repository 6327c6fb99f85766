"""Serve health checks, versions and Prometheus metrics."""
