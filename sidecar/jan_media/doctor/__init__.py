"""``jan-media doctor``: each part of an installation, checked by using it."""
