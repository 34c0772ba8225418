"""The identity of a trial: all that decides its result, and nothing else."""

import hashlib
import json
import sys
from typing import Any

from harness.config import SETTINGS, Config
from harness.data.loading import load_for
from harness.errors import UsageError
from harness.training.prepare import decided, resolved
from harness.trials.fingerprint import plugin_hashes


def identity(config: Config, seeds: int = 1) -> str:
    """SHA-256 of all that decides a trial's result, 16 hexadecimal digits: its config, its data and
    the plugins.

    The config counts as its data has resolved it, so that a rule of "auto" that changes makes
    another identity.
    """
    plugins = sorted(plugin_hashes(config.names()).values())
    try:
        settings = resolved(config)
    except Exception:  # which the trial will say; the data set may be a plugin's
        settings = config.settings()
    content: list[Any] = [SETTINGS, settings, plugins]
    if seeds > 1:
        content.append(seeds)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def announce(config: Config, announced: set[str], bar: Any) -> None:
    """Says once what a config's data has decided, such as which columns of texts became features.

    announced: what has been said, to which this is added. bar: of tqdm, above which it is written.
    """
    try:
        text = decided(config)
    except UsageError:  # which the trial will say
        return
    if text and text not in announced:
        announced.add(text)
        bar.write(text, file=sys.stderr)


def data_digest(config: Config) -> str:
    """The digest of a config's data set as it was when the sweep or comparison began; empty where
    it cannot be loaded, which a trial will say."""
    key = json.dumps([config.data, config.missing], sort_keys=True)
    try:
        if key not in _digests:
            _digests[key] = load_for(config.data, config.missing).digest
    except Exception:
        return ""
    return _digests[key]


# Of the data sets of the sweep or comparison that runs in this process
_digests: dict[str, str] = {}


def begin_with_data_as_they_are() -> None:
    """Called at the start of a sweep or comparison: from here on, data that change refuse to be
    trained on.
    """
    _digests.clear()
