"""One file per shape of JSON records behind the door data/shape.py."""
