"""Answer over HTTP: predictions, journalled."""
