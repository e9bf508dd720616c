"""Infer or train? Cheap baselines and the decision."""
