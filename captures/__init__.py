"""Captures that the project makes for itself; `python3 -m captures.make` writes them, the same bytes each time."""
