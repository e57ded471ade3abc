"""Random faults against the platform on a real cluster, and whether everything is true afterwards."""
