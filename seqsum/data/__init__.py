"""Files on the host -> arrays."""
