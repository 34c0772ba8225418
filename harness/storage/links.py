"""Links in descriptions: to a trial by its number, until it is known which run that is.

A driver writes a description before all trials are logged, and does not know where. What writes to
MLflow knows, and puts the addresses of the runs in. Neither form can come from an escaped text.
"""

import re
from collections.abc import Callable

from harness.escapes import escape_markdown

_LINK = re.compile(r"\[((?:[^\[\]\\]|\\.)*)\]\((?:trial:(\d+)|study:)\)")


def link_to_trial(number: int) -> str:
    """Write a link to a trial of the same study."""
    return f"[\\#{number}](trial:{number})"


def link_to_study(name: str) -> str:
    """Write a link from a trial to its study."""
    return f"[{escape_markdown(name)}](study:)"


def with_addresses(description: str, address_of: Callable[[int | None], str | None]) -> str:
    """Return a description whose links lead to runs; one that leads nowhere becomes its text.

    Parameters
    ----------
    description : str
        Markdown.
    address_of : callable
        The address of the trial of a number, or of the study for None; None where there is none.
    """

    def resolved(match: re.Match[str]) -> str:
        text, number = match.groups()
        address = address_of(None if number is None else int(number))
        return text if address is None else f"[{text}]({address})"

    return _LINK.sub(resolved, description)
