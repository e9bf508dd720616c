"""One file per baseline behind the door decide/text_baseline.py."""
