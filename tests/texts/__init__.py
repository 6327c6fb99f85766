"""Every text that a user can see, collected from the source into one file for review."""
