"""What people do with trainings in a cluster, as they do it; no faults, so the matrix is without them."""
