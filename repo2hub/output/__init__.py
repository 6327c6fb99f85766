"""What commands print: results, remarks, errors, and the processes' own structured log."""
