"""A client of a running service: its HTTP API, event streams, and the options of the commands that use it."""
