"""How does it learn? The loop, checkpoints, the run."""
