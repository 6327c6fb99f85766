"""What commands print: results, notes and errors, and the structured log of web process and builder."""
