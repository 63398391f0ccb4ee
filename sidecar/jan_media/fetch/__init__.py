"""Fetches remote URLs, with protection against SSRF: requests into the operator's own network."""
