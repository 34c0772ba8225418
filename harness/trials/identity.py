"""The identity of a trial: all that decides its result, and nothing else."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from harness.config import SETTINGS, Config
from harness.data.loading import load_for
from harness.errors import UsageError
from harness.training.prepare import decided, resolved
from harness.trials.fingerprint import plugin_hashes


def identity(config: Config, seeds: int = 1) -> str:
    """The digest of all that decides a trial's result: its config, its data and the plugins.

    Settings of "auto" are resolved first. So if a rule of "auto" changes, the identity changes too.

    Parameters
    ----------
    config : Config
        What is trained.
    seeds : int
        How many networks the trial has.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256.
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


def announce(config: Config, announced: set[str], say: Callable[[str], None]) -> None:
    """Says once what a config's data has decided, such as which text columns became features.

    Parameters
    ----------
    config : Config
        Whose data it is.
    announced : set of str
        What has been said before, to which this is added.
    say : callable
        Writes a text for the user.
    """
    try:
        text = decided(config)
    except UsageError:
        return  # The trial itself will say it.
    if text and text not in announced:
        announced.add(text)
        say(text)


def data_digest(config: Config) -> str:
    """The digest of a config's data set as it was when the sweep or comparison began.

    It is empty where the data set cannot be loaded, which a trial will say.
    """
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
    """Called at the start of a study: data that change from here on are refused by trials."""
    _digests.clear()
