"""What learns? Sources of base models, families of architectures, fitted models."""
