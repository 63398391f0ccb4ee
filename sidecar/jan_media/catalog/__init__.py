"""Ids, owners and contents: the interface and its two implementations, SQLite and PostgreSQL."""
