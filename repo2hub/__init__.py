"""The command line: it puts the parts together on one machine, and asks a running service from any other."""
