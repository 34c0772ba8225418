"""What a user writes on a study or a run: tags, and a note."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness import checks
from harness.errors import UsageError, argument

RESERVED = ("mlflow.", "harness.")

_KEY = re.compile(r"[\w\-. :/]+")  # what MLflow takes as the name of a tag
_LONGEST = 5000  # characters of a tag or a note; MLflow cuts a tag at 8000


@dataclass(frozen=True)
class Labels:
    """Tags and a note.

    Attributes
    ----------
    tags : dict of str
        Text by name.
    note : str
        Markdown, which begins the description.
    """

    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""


NO_LABELS = Labels()


def labels(tags: Any, note: Any) -> Labels:
    """Tags and a note as a user has given them, checked.

    Parameters
    ----------
    tags : mapping
        Texts, numbers or truth values by name.
    note : str or None
        The note.

    Raises
    ------
    UsageError
        A name is reserved, or something is no text.
    """
    name = argument("tags")
    if not isinstance(tags, Mapping):
        raise UsageError(
            f"{name} must be a dict such as {{'paper': 'figure 3'}}, got {checks.shown(tags)}"
        )
    checked = {_checked_key(name, key): _checked(name, key, value) for key, value in tags.items()}
    if note is None:
        return Labels(checked)
    text = checks.text(argument("note"), note, "the learning rate is per example here")
    _check_length(argument("note"), text)
    return Labels(checked, text)


def read_tags(texts: Iterable[str]) -> dict[str, str]:
    """The tags of a command line, KEY=VALUE each."""
    tags = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--tag must be KEY=VALUE, such as --tag paper='figure 3', got {text!r}; correct it"
            )
        tags[key.strip()] = value
    return tags


def users_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those of the tags of a run that a user has given."""
    return {key: value for key, value in tags.items() if not key.startswith(RESERVED)}


def with_note(note: str, description: str) -> str:
    """A description that begins with a note, where there is one."""
    return "\n\n".join(part for part in (note, description) if part)


def _checked_key(name: str, key: Any) -> str:
    checks.line(f"{name}: a name", key)
    if key.startswith(RESERVED):
        raise UsageError(
            f"{name}: names that begin with {' or '.join(map(repr, RESERVED))} are kept for MLflow "
            f"and the harness, got {key!r}; call it something else"
        )
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{name}: a name must be of letters, digits, spaces and _-.:/, got {key!r}; call it "
            "something else"
        )
    return str(key)


def _checked(name: str, key: str, value: Any) -> str:
    value = checks.plain(value)
    if not isinstance(value, str | bool | int | float):
        raise UsageError(
            f"{name}: {key} must be a text, a number, True or False, got {checks.shown(value)}"
        )
    text = str(value)
    _check_length(f"{name}: {key}", text)
    return text


def _check_length(name: str, text: str) -> None:
    if len(text) > _LONGEST:
        raise UsageError(
            f"{name} must have at most {_LONGEST} characters, got {len(text)}; shorten it, or keep "
            "it in a file beside the script"
        )
