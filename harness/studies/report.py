"""A report: one HTML file that holds the question, the verdict, tables, pictures and films."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.version import version

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    title : str
        What stands above it.
    heads : sequence of str
        The heads of its columns; empty where the first column names its rows.
    rows : sequence of sequence of str
        Its cells.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Media:
    """A picture or a page of a report.

    Attributes
    ----------
    caption : str
        What stands above it.
    content : bytes
        A PNG or an HTML page.
    """

    caption: str
    content: bytes

    @property
    def base64(self) -> str:
        """The content as text, for an address that holds it."""
        return base64.b64encode(self.content).decode()

    @property
    def text(self) -> str:
        """The content of a page."""
        return self.content.decode()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report shows, from top to bottom.

    Attributes
    ----------
    title : str
        The name of the sweep or comparison.
    question : str
        What was tried, on which data.
    verdict : str
        The answer in a sentence; "" for none.
    sentences : sequence of str
        What else is to be said below the verdict.
    results : Table or None
        What came of it, in numbers.
    details : sequence of Table
        What stands below the pictures: settings, environment.
    players : sequence of Media
        Pages that play films.
    pictures : sequence of Media
        PNG files.
    commands : sequence of str
        The lines that repeat it.
    """

    title: str
    question: str
    verdict: str = ""
    sentences: Sequence[str] = ()
    results: Table | None = None
    details: Sequence[Table] = ()
    players: Sequence[Media] = ()
    pictures: Sequence[Media] = ()
    commands: Sequence[str] = field(default_factory=tuple)
    version: str = field(default_factory=version)

    def to_html(self) -> str:
        """The report as one HTML page; every text in it is escaped."""
        from jinja2 import Environment, FileSystemLoader

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True
        )
        return environment.get_template("report.html").render(report=self)
