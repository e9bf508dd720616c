"""Formats that models are exported to: one file each, one row in the table of deploy/export.py."""
