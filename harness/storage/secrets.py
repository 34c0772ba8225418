"""Credentials do not get into anything that is written down."""

import os
import re
import urllib.parse
from typing import Any

from harness.escapes import encodable

_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 6  # characters; shorter credentials are words that stand in other places too

_PASSWORD_IN_URI = re.compile(r"://([^\s/:@]*):\S*@")  # scheme://user:password@host
_TOKEN_IN_URI = re.compile(r"://[^\s/:@]+@")  # scheme://token@host
_SECRET_IN_QUERY = re.compile(
    r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s]*"
)


def mask(text: str) -> str:
    """Text, printable, with *** in place of all credentials.

    These are the ones of every URI in it, and those of the tracking server wherever they stand.
    """
    return _mask(text, _secrets())


def _mask(text: str, secrets: list[str]) -> str:
    text = encodable(text)
    if "://" in text:
        text = _PASSWORD_IN_URI.sub(r"://\1:***@", text)
        text = _TOKEN_IN_URI.sub("://***@", text)
    if "=" in text:
        text = _SECRET_IN_QUERY.sub(r"\1***", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _secrets() -> list[str]:
    """The credentials of the tracking server, for where they stand without their URI."""
    in_uri = _secret_of_uri(os.environ.get("MLFLOW_TRACKING_URI", ""))
    in_variables = [os.environ.get(name, "") for name in _VARIABLES]
    secrets = [in_uri, urllib.parse.unquote(in_uri), *in_variables]
    return [secret for secret in secrets if len(secret) >= _SHORTEST]


def _secret_of_uri(uri: str) -> str:
    """The password of a URI, or the token that stands in the place of a user; empty without one."""
    try:
        parts = urllib.parse.urlsplit(uri)
        if parts.password:
            return parts.password
    except ValueError:  # it is no URI
        return ""
    if "@" in parts.netloc:
        return parts.username or ""
    return ""


def masked(value: Any) -> Any:
    """JSON with its texts masked; keys and numbers as they are."""
    return _masked(value, _secrets())


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return _mask(value, secrets)
    if isinstance(value, dict):
        return {key: _masked(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, secrets) for inner in value]
    return value


def masked_file(path: str, data: bytes) -> bytes:
    """The content of a text file, such as a traceback, masked; that of any other file as it is."""
    if not path.endswith(".txt"):
        return data
    return mask(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
