"""A stand-in for Kong, for development and tests: reads kong.yml, speaks Kong's protocols."""
