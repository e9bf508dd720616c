"""Forget a person's rows: search every place, rewrite each, write down that it was done."""
