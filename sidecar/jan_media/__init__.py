"""The sidecar of Jan Media Gateway: stores media once, gives it an id, signs URLs for it."""

__version__ = "0.1.0"
