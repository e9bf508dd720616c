"""What goes live? Bundles, promotion, rollback, history."""
