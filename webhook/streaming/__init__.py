"""Follow the logs of builds live, many viewers at a time."""
