"""Read and write records, with one module per table."""
