"""One trial: its identity, the work of a worker, its outcome, checkpoints and the run that is
logged of it.
"""
