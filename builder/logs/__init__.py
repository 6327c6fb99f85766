"""Turns raw output into the stored log and the cause of a failure."""
