"""One file per check behind the door data/check.py."""
