"""One trial: its identity, the work of a worker, its outcome, its result and checkpoints."""
