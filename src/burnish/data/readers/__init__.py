"""One file per file format behind the door data/read.py."""
