"""What several commands need: the command to type next, plugins, numbers, data specs."""

import contextlib
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError
from harness.storage.files import on_disk

if TYPE_CHECKING:
    pass


def command_line(*words: str) -> str:
    """What to type, in the shell and folder that we were started from, to start this harness with
    these words.
    """
    inside_tox = "TOX_ENV_DIR" in os.environ  # its PATH is not that of the user's shell
    folders = [Path(sysconfig.get_path("scripts"))]
    if sys.prefix == sys.base_prefix:
        folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))

    def known(name: str) -> bool:
        found = None if inside_tox else shutil.which(name)
        return found is not None and Path(found).resolve().parent in [
            folder.resolve() for folder in folders
        ]

    def short(path: Path) -> str:
        return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))

    script = next(
        (folder / "harness" for folder in folders if (folder / "harness").is_file()), None
    )
    if script is not None:
        start = "harness" if known("harness") else short(script)
    else:
        python = Path(sys.executable)
        found = not inside_tox and shutil.which(python.name) == str(python)
        start = f"{python.name if found else short(python)} -m harness"
    return f"{start} {shlex.join(words)}".strip()


def ui_hint() -> str:
    """The command that opens the UI on these runs from here."""
    return command_line("ui")


def load_plugins(references: tuple[str, ...]) -> None:
    """Loads plugins; modules are also looked for in the current folder, as `python -m` does."""
    if any(not reference.endswith(".py") for reference in references):
        look_here()
    for reference in references:
        registry.load_plugin(reference)


def look_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    with on_disk(path):
        yield


def check_names(name: str | None, project: str | None) -> None:
    """Names come back in tables, and find what they name."""
    for option, given in (("--name", name), ("--project", project)):
        if given is not None:
            checks.line(option, given)


def parse_number(
    option: str, kind: Callable[[str], Any], text: str, must: str, whole: str | None = None
) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{option} must be {must}, got {whole or text!r}") from None


# Options that the data set takes
OF_DATA = ("label", "task", "sep", "decimal", "thousands", "encoding")


def data_spec(data: Any, options: dict[str, Any], missing: str | None) -> Any:
    """A data set's spec with the options that it takes: the column of labels, those to leave out,
    ...
    """
    from harness.data.paths import kind_of

    spec = data
    if isinstance(data, str):
        kind = None if data.rstrip().endswith(")") else kind_of(data)
        if kind is not None:
            spec = {"name": kind, "path": data}
        else:
            spec = (
                registry.parse(data) if data.rstrip().endswith(")") or data.isidentifier() else {}
            )
    asked = {**options, **({} if missing is None else {"missing": missing})}
    for key in asked:
        if not spec or key not in registry.find("dataset", spec["name"]).parameters:
            files = (
                "a .csv"
                if key in ("sep", "decimal", "thousands", "encoding")
                else "a .csv or .parquet"
            )
            option = {"valid": "valid-data"}.get(key, key)
            raise UsageError(
                f"--{option} goes with {files} file, not with {registry.text(data)}; leave it out"
            )
    return {**spec, **options} if options else data


def run_name_of(config: Config) -> str:
    """'mnist relu 784-100-50-10 sgd(learning_rate=0.5)'"""
    flat = config.flat()
    units = [str(layer["units"]) for layer in config.layers if "units" in layer]
    sizes = "-".join([*([str(config.inputs)] if config.inputs else []), *units])
    data = (
        config.data
        if isinstance(config.data, str)
        else config.data.get("path", config.data["name"])
    )
    name = " ".join(
        filter(
            None, [Path(data).name, str(flat["activations"]), sizes, registry.text(config.update)]
        )
    )
    # A file's name may hold any bytes
    readable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return readable[: checks.LONGEST_LINE]


def plural(kind: str) -> str:
    words = kind.replace("_", " ")
    return words + ("es" if words.endswith("s") else "s")


def similar_names(name: str) -> str:
    names = sorted({entry.name for entry in registry.entries()})
    near = registry.suggest(name.partition("(")[0], names)
    return near if near.startswith("did you mean") else "harness list shows what there is"
