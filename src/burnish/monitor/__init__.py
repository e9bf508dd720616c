"""Stage 9: is it still true? Windows of the journal against the reference of the report."""
