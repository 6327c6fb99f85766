"""The command line: runs the roles of the service on this machine, and is a client of any running service."""
