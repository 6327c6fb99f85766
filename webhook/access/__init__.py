"""Who sends a request, what they may see and change, and how much at once."""
