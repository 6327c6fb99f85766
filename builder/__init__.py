"""The worker: claims builds, runs them, reports how they end."""
