"""One file per engine that answers from a bundle, behind the door deploy/engine.py."""
