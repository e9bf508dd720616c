"""One file per kind of task behind the door tasks/kind.py."""
