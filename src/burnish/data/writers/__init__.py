"""One file per export format behind the door data/export.py."""
