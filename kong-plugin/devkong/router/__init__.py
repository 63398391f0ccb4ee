"""Which route a request takes, and which path the upstream sees."""
