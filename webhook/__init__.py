"""The web application: GitHub's deliveries in, lookups, builds, logs and pages out."""
