"""What the sidecar does with media, knowing neither HTTP nor SQL nor S3."""
