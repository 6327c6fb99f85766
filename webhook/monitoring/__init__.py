"""Health, versions and Prometheus metrics."""
