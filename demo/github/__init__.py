"""A stand-in for GitHub: repositories over HTTP, and signed deliveries."""
