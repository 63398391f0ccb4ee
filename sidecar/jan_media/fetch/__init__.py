"""Fetching a remote URL without being turned against one's own network."""
