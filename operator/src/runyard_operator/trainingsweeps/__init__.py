"""TrainingSweeps: `handlers` → `reconcile` → `sight`, `parents`, `pruning`; what is decided is in `runyard.api`.

`runyard_operator.sweep` is something else: it looks, now and then, for runs that were left open.
"""
