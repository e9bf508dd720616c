"""One file per group of metrics behind the door evaluate/metric.py."""
