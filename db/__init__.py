"""The records: what was pushed, what was built, and every change of a build's status."""
