"""Burnish: from labelled rows to a model you can defend."""
