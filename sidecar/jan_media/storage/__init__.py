"""Bytes under keys: the interface and its two implementations, a local folder and S3."""
