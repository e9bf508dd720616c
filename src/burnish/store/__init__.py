"""Where things rest: workspace folders, durable files, the event ledger."""
