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
HEAD = (
    "# Catalogue\n\n"
    "Everything that is built in. This page is made from the code by "
    "`python -m harness.cli.catalogue docs/catalogue.md`;\n"
    "`harness list` and `harness show NAME` say the same, about your own plugins too.\n\n"
    "Options are given by name or by position, `leaky_relu(slope=0.1)` or `leaky_relu(0.1)`. "
    "A *number* may differ between\n"
    "the members of a population; numbers of update rules may also be schedules. "
    "Where an option takes a layer, an\n"
    "activation, an initializer or an update rule, write it as you would alone: "
    "`residual(dense(64), tanh)`.\n"
)


def built_in() -> list[Entry]:
    """The entries of this page, by kind and name."""
    return [
        entry for entry in registry.entries() if Path(entry.origin).resolve().is_relative_to(HOME)
    ]


def page() -> str:
    """The page as Markdown."""
    entries = built_in()
    anchors = _anchors(entries)
    lines = [HEAD]
    for kind in registry.KINDS:
        names = [entry.name for entry in entries if entry.kind == kind]
        links = ", ".join(f"[{name}](#{anchors[kind, name]})" for name in names)
        lines.append(f"**{_title(kind)}**: {links}\n")
    for kind in registry.KINDS:
        lines.append(f"## {_title(kind)}\n")
        lines += [_section(entry) for entry in entries if entry.kind == kind]
    return "\n".join(lines)


def pictures(folder: Path) -> dict[str, Path]:
    """Draws the value and the slope of every activation into a folder; the files by name."""
    make_folder(folder)
    files: dict[str, Path] = {}
    for entry in built_in():
        if entry.kind == "activation":
            spec = examples(entry, {})[0]
            files[entry.name] = draw("activation", spec, folder / f"{entry.name}.svg", SIZE)
    return files


def write(target: Path) -> None:
    """Writes the page and its pictures, and removes pictures of what is no longer there."""
    folder = target.parent / "pictures"
    drawn = pictures(folder)
    for obsolete in set(folder.iterdir()) - set(drawn.values()):
        remove(obsolete)
    write_plain(target, page().encode())
    print(f"{target}: {len(built_in())} entries, {len(drawn)} pictures")


def _title(kind: str) -> str:
    """The heading of a kind of plugin."""
    return TITLES.get(kind, f"{kind.capitalize()}s")


def _anchors(entries: list[Entry]) -> dict[tuple[str, str], str]:
    """The name of each section in links, by kind and name."""
    uses: dict[str, int] = {}
    anchors = {}
    for entry in entries:
        anchor = entry.name
        # Markdown numbers a heading that comes again.
        if uses.get(entry.name):
            anchor = f"{entry.name}-{uses[entry.name]}"
        anchors[entry.kind, entry.name] = anchor
        uses[entry.name] = uses.get(entry.name, 0) + 1
    return anchors


def _section(entry: Entry) -> str:
    """The part of the page about an entry."""
    text, *reference = re.split(r"References?:\s", entry.doc, maxsplit=1)
    parts = [f"### {entry.name}\n"]
    if entry.kind == "activation":
        parts.append(f"![value and slope of {entry.name}](pictures/{entry.name}.svg)\n")
    parts.append(f"```text\n{entry.signature}\n\n{text.rstrip()}\n```\n")
    if entry.parameters:
        parts += [_option(entry, key) for key in entry.parameters]
        parts.append("")
    if reference:
        parts.append(f"Reference: {' '.join(reference[0].split())}\n")
    return "\n".join(parts)


def _option(entry: Entry, key: str) -> str:
    """The line about an argument: its type and its default."""
    parameter = entry.parameters[key]
    line = f"- `{key}`: "
    if parameter.kind is parameter.VAR_POSITIONAL:
        line += "any number of: "
    line += _type(entry, key)
    if parameter.default is not parameter.empty:
        line += f", default `{parameter.default!r}`"
    return line


def _type(entry: Entry, key: str) -> str:
    """The type of an argument in words."""
    role = entry.role(key)
    if role == "scalar" and entry.kind == "update_rule":
        return "number or schedule"
    if role:
        return ROLES.get(role, role)
    annotation = entry.parameters[key].annotation
    declared = re.sub(r"\w+\.", "", str(annotation))
    if isinstance(annotation, type):
        declared = annotation.__name__
    if annotation is entry.parameters[key].empty or declared == "Any":
        return "a value"
    return declared


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m harness.cli.catalogue docs/catalogue.md")
    write(Path(sys.argv[1]))
