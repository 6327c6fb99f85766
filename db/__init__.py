"""The database: tables, connections, and every read and write of records."""
