"""How good, how sure? Metrics with intervals, calibration, slices, the report."""
