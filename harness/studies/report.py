"""A report: one HTML file that holds the question, the verdict, tables, pictures and films."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.version import version

TEMPLATES = Path(__file__).parent / "templates"

_DOCTYPE = "<!doctype html>"
HIGHEST = 860  # pixels of the frame of a page; a higher page is scrolled in it
# A page of films makes them as large as its window allows. Its window shall not become lower with
# what it tells, or they would become smaller with it. Nobody learns more from it than a number.
_TELLS_HEIGHT = f"""<script>
{{
  innerHeight = {HIGHEST};
  const page = document.documentElement;
  const tell = () => parent.postMessage(Math.ceil(page.getBoundingClientRect().height), "*");
  new ResizeObserver(tell).observe(page);
}}
</script>"""


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
        """The content of a page, which tells the report how high it is."""
        page = self.content.decode()
        start = len(_DOCTYPE) if page.startswith(_DOCTYPE) else 0
        return page[:start] + _TELLS_HEIGHT + page[start:]


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
    highest: int = HIGHEST

    def to_html(self) -> str:
        """The report as one HTML page; every text in it is escaped."""
        from jinja2 import Environment, FileSystemLoader

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True
        )
        return environment.get_template("report.html").render(report=self)
