"""The catalogue: a Markdown page of everything that is built in, made from the code.

python -m harness.cli.catalogue docs/catalogue.md      # writes the page, and pictures/ beside it
"""

import re
import sys
from pathlib import Path

import harness
from harness import registry
from harness.pictures.plugins import draw
from harness.registry.known import Entry
from harness.storage.files import make_folder, remove, write_plain
from harness.testing.samples import examples

HOME = Path(harness.__file__).parent
SIZE = (3.6, 2.4)  # inches of a picture
TITLES = {"update_rule": "Update rules", "loss": "Losses", "dataset": "Data sets"}
ROLES = {"scalar": "number", "update_rule": "update rule"}
HEAD = """\
# Catalogue

Everything that is built in. This page is made from the code by `python -m harness.cli.catalogue docs/catalogue.md`;
`harness list` and `harness show NAME` say the same, about your own plugins too.

Options are given by name or by position, `leaky_relu(slope=0.1)` or `leaky_relu(0.1)`. A *number* may differ between
the members of a population; numbers of update rules may also be schedules. Where an option takes a layer, an
activation, an initializer or an update rule, write it as you would alone: `residual(dense(64), tanh)`.
"""


def built_in() -> list[Entry]:
    """The entries of this page."""
    return [e for e in registry.entries() if Path(e.origin).resolve().is_relative_to(HOME)]


def page() -> str:
    """The page as Markdown."""
    found, anchors, lines = built_in(), _anchors(built_in()), [HEAD]
    for kind in registry.KINDS:
        links = [f"[{e.name}](#{anchors[e.kind, e.name]})" for e in found if e.kind == kind]
        lines.append(f"**{_title(kind)}**: {', '.join(links)}\n")
    for kind in registry.KINDS:
        lines.append(f"## {_title(kind)}\n")
        lines += [_section(entry) for entry in found if entry.kind == kind]
    return "\n".join(lines)


def pictures(folder: Path) -> dict[str, Path]:
    """Draws every activation, slope and value, into a folder: {name: file}."""
    make_folder(folder)
    specs = {e.name: examples(e, {})[0] for e in built_in() if e.kind == "activation"}
    return {
        name: draw("activation", spec, folder / f"{name}.svg", SIZE) for name, spec in specs.items()
    }


def _title(kind: str) -> str:
    return TITLES.get(kind, f"{kind.capitalize()}s")


def _anchors(found: list[Entry]) -> dict[tuple[str, str], str]:
    """The name of each section in links: headings that come again get a number."""
    taken: dict[str, int] = {}
    anchors = {}
    for entry in found:
        count = taken.get(entry.name, 0)
        anchors[entry.kind, entry.name] = f"{entry.name}-{count}" if count else entry.name
        taken[entry.name] = count + 1
    return anchors


def _section(entry: Entry) -> str:
    text, *reference = re.split(r"References?:\s", entry.doc, maxsplit=1)
    parts = [f"### {entry.name}\n"]
    if entry.kind == "activation":
        parts.append(f"![value and slope of {entry.name}](pictures/{entry.name}.svg)\n")
    parts.append(f"```text\n{entry.signature}\n\n{text.rstrip()}\n```\n")
    parts += [_option(entry, key) for key in entry.parameters]
    if entry.parameters:
        parts.append("")
    if reference:
        parts.append(f"Reference: {' '.join(reference[0].split())}\n")
    return "\n".join(parts)


def _option(entry: Entry, key: str) -> str:
    parameter, role = entry.parameters[key], entry.role(key)
    many = "any number of: " if parameter.kind is parameter.VAR_POSITIONAL else ""
    annotation = parameter.annotation
    declared = (
        annotation.__name__
        if isinstance(annotation, type)
        else re.sub(r"\w+\.", "", str(annotation))
    )
    if annotation is parameter.empty or declared == "Any":
        declared = "a value"
    if role == "scalar" and entry.kind == "update_rule":
        declared = "number or schedule"
    elif role:
        declared = ROLES.get(role, role)
    default = "" if parameter.default is parameter.empty else f", default `{parameter.default!r}`"
    return f"- `{key}`: {many}{declared}{default}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m harness.cli.catalogue docs/catalogue.md")
    target = Path(sys.argv[1])
    drawn = pictures(target.parent / "pictures")
    for left in set((target.parent / "pictures").iterdir()) - set(drawn.values()):
        remove(left)  # of what has been removed or renamed
    write_plain(target, page().encode())
    print(f"{target}: {len(built_in())} entries, {len(drawn)} pictures")
