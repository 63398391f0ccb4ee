"""kong.yml: read, checked whole, and turned into services, routes and plugin entries."""
