"""The worker: claims builds, runs them and reports their results."""
