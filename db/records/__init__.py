"""One module per table: reads and writes by key."""
