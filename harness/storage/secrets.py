"""Credentials do not get into anything that is written down."""

import os
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from harness.escapes import encodable

_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def mask(text: str) -> str:
    """`text`, printable, with the credentials of every URI in it and of the tracking server
    replaced by ***.
    """
    text = encodable(text)
    text = re.sub(r"://([^\s/:@]*):\S*@", r"://\1:***@", text)  # scheme://user:password@host
    text = re.sub(r"://[^\s/:@]+@", "://***@", text)  # scheme://token@host
    text = re.sub(
        r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s]*",
        r"\1***",
        text,
    )
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _secrets() -> Iterator[str]:
    """The credentials of the tracking server, for where they stand without their URI. Short ones
    are words.
    """
    try:
        parts = urllib.parse.urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
        found = parts.password or (parts.username if "@" in parts.netloc else None) or ""
    except ValueError:  # no URI
        found = ""
    for secret in (
        found,
        urllib.parse.unquote(found),
        *(os.environ.get(name, "") for name in _SECRETS),
    ):
        if len(secret) >= 6:
            yield secret


def masked(value: Any) -> Any:
    """JSON with its texts masked; keys and numbers as they are."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: masked(each) for key, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list | tuple) else value


def masked_file(path: str, data: bytes) -> bytes:
    """Texts, such as a traceback, masked; any other file as it is."""
    if not path.endswith(".txt"):
        return data
    return mask(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
