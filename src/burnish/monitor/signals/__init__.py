"""One signal a file; the door is burnish.monitor.signal."""
