"""The records: tables, connections, and every change and read of them."""
