"""Confinement of a process: whom it runs as, and what it may still touch."""
