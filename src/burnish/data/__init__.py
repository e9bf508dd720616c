"""What do we have? Rows become Examples, Examples a Dataset."""
