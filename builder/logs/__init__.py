"""From raw output to the stored log and the cause of a failure."""
