"""A workspace verified file by file: what is wrong, and what to do next. Nothing is changed."""
