"""One file per baseline behind the door decide/baseline.py."""
