"""Who is calling: bearer tokens of several issuers, and the sidecar's API keys."""
