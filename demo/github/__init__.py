"""A stand-in for GitHub, for the demo, tests and benchmarks: repositories over HTTP, and signed deliveries."""
