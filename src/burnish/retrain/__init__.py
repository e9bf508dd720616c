"""Stage 10: what next? Feedback becomes rows, rows become a child dataset, the new model meets the live one."""
