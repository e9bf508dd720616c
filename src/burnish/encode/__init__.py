"""What does the model see? An Example becomes an Encoding, Encodings a Batch."""
