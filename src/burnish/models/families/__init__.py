"""One file per model family behind the door models/family.py."""
