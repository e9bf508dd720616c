"""One file per place base models come from, behind the door models/source.py."""
