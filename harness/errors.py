"""The two ways in which something that is not ours can be wrong: what a user asked for, and what a plugin did."""


class UsageError(ValueError):
    """Bad input. The message is one sentence: what must hold, what came, what to do. The CLI prints it and exits with
    2."""


class PluginError(RuntimeError):
    """A plugin raised or broke its contract. Its own traceback stays chained; it fails its trial alone."""
