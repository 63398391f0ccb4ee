"""The API reference: a page for people who write clients."""
