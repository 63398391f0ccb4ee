"""HTTP: the public listener and the internal one."""
