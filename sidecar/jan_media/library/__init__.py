"""What the sidecar does with media, independent of HTTP, SQL and S3."""
