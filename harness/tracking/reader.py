"""Reading what has been logged: sweeps, comparisons, runs, their trials and files."""

import contextlib
import difflib
import json
import math
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import UsageError
from harness.storage.formats import sha256
from harness.storage.secrets import mask
from harness.tracking.connect import (
    artifacts_folder,
    client_for,
    failure_types,
    sqlite_path,
    store_uri,
)
from harness.tracking.entities import NAME_OF, file_checksums, read_back
from harness.tracking.text import core_of, one_line

if TYPE_CHECKING:
    import pandas


# --- reading --------------------------------------------------------------------------------------
class Parent(NamedTuple):
    """One sweep, comparison or single run, as `parents` lists them."""

    name: str
    kind: str
    status: str
    run_id: str
    experiment_id: str
    start_ms: int


def search(client: Any, experiments: list[str], condition: str, view: int = 1) -> Iterator[Any]:
    """All runs that meet an MLflow filter, the newest first, page by page; view: MLflow's ViewType,
    1 for active.
    """
    token = None
    while True:
        page = client.search_runs(experiments, condition, view, max_results=1000, page_token=token)
        yield from page
        if not (token := page.token):
            return


@contextlib.contextmanager
def _reading(root: Path | None) -> Iterator[tuple[Any, list[str]]]:
    """A client for reading and the ids of all experiments; what fails is a UsageError."""
    uri = store_uri(root)
    existing(uri)
    try:
        client = client_for(uri)
        yield client, [experiment.experiment_id for experiment in client.search_experiments()]
    except UsageError:
        raise
    except Exception as error:
        # From a database that is damaged MLflow can read what it does not expect
        why = core_of(one_line(error if isinstance(error, failure_types()) else repr(error), 600))
        raise UsageError(
            f"the runs in {mask(uri)} must be readable, but: {why}; see whether it runs, and what "
            f"`harness doctor` says"
        ) from error


def existing(uri: str) -> None:
    if (file := sqlite_path(uri)) and not file.exists():
        raise UsageError(
            f"there must be runs in {file} before they can be shown, but that file does not exist; "
            "start a sweep here first, or set HARNESS_ROOT to the folder that has mlruns/"
        )
    if file:
        try:
            with contextlib.closing(
                sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=20)
            ) as connection:
                connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # Before MLflow makes tables in what is not its own
            raise UsageError(
                f"the runs in {file} must be readable, but: {error}; `harness doctor` says what is "
                f"wrong with it"
            ) from error


def _parents(client: Any, experiments: list[str]) -> list[Parent]:
    found = search(client, experiments, "tags.\"harness.kind\" != 'trial'") if experiments else ()
    parents = [
        Parent(
            run.info.run_name,
            run.data.tags["harness.kind"],
            run.info.status,
            run.info.run_id,
            run.info.experiment_id,
            run.info.start_time,
        )
        for run in found
    ]
    return sorted(parents, key=lambda parent: -parent.start_ms)


def parents(root: Path | None = None) -> list[Parent]:
    """Every sweep, comparison and single run in the store, the newest first."""
    with _reading(root) as (client, experiments):
        return _parents(client, experiments)


def results(name: str, root: Path | None = None) -> "pandas.DataFrame":
    """The trials of the newest sweep, comparison or run of that name (or run id), one row each, by
    their numbers.

    Columns
    -------
    number, name, state
        state is harness.state, else the run's status.
    value
        What the trial is ranked by; NaN where it did not come to its end, or its metric is not
        finite there.
    note
        How it ended, where there is something to say.
    params.NAME
        What the search space suggested, and `params.arm`, `params.seed` in a comparison.
    config.NAME
        The config that was trained.
    train/loss, valid/accuracy, ...
        The last value of each metric. A metric that has the name of another column comes as
        metrics.NAME.
    seconds, run_id

    `attrs` of the table say what it belongs to: name, kind, metric and direction ("maximize" or
    "minimize").
    """
    import pandas

    with _reading(root) as (client, experiments):
        known = _parents(client, experiments)
        parent = next((each for each in known if name in (each.name, each.run_id)), None)
        if parent is None:
            names = list(dict.fromkeys(each.name for each in known))
            hint = (
                "`harness results` lists what there is" if names else "nothing has been logged yet"
            )
            if near := difflib.get_close_matches(name, names):
                hint = f"did you mean {' or '.join(map(repr, near))}?"
            raise UsageError(
                f"results need the name of a sweep, comparison or run, but none is called "
                f"{name!r}; {hint}"
            )
        own = client.get_run(parent.run_id)
        runs = [own]
        if parent.kind != "run":
            runs = list(
                search(
                    client,
                    [parent.experiment_id],
                    f"tags.\"mlflow.parentRunId\" = '{parent.run_id}'",
                )
            )
    rows = [_row(run) for run in runs]
    rows.sort(key=lambda row: (row["number"] is None, row["number"], row["name"]))
    middle = list(dict.fromkeys(key for row in rows for key in row if key not in (*_FRONT, *_BACK)))
    frame = pandas.DataFrame(rows, columns=[*_FRONT, *middle, *_BACK])
    tags = own.data.tags
    frame.attrs = {
        "name": parent.name,
        "kind": parent.kind,
        "metric": tags.get("harness.metric", ""),
    }
    frame.attrs |= {
        "direction": tags.get("harness.direction", ""),
        "arms": json.loads(tags.get("harness.arms", "[]")),
    }
    counted = (run.data.tags.get("harness.valid_examples") for run in runs)
    frame.attrs["examples"] = next((int(count) for count in counted if count), None)
    return frame


# The columns of `results` that are the harness's own, before and behind those of params and metrics
_FRONT = ("number", "name", "state", "value", "note")


_BACK = ("seconds", "run_id")


_NOTES = ("harness.reason", "harness.note", "harness.stopped")


_OURS = ("config.", "params.", "metrics.")


def _row(run: Any) -> dict[str, Any]:
    tags, info = run.data.tags, run.info
    number, value = tags.get("harness.number", ""), tags.get("harness.value")
    row: dict[str, Any] = {
        "number": int(number) if number.isdigit() else None,
        "name": info.run_name,
        "state": tags.get("harness.state", info.status),
        "value": math.nan if value is None else float(value),
        "note": "; ".join(tags[tag] for tag in _NOTES if tags.get(tag)),
        "seconds": (info.end_time - info.start_time) / 1000 if info.end_time else math.nan,
        "run_id": info.run_id,
    }
    for key, text in run.data.params.items():
        name = tags.get(f"{NAME_OF}{key[-8:]}", key)
        row[name if name.startswith("config.") else f"params.{name}"] = _value(text)
    for key, number_ in run.data.metrics.items():
        taken = key in (*_FRONT, *_BACK) or key.startswith(_OURS)
        row[f"metrics.{key}" if taken else key] = number_
    return row


def _value(text: Any) -> Any:
    """A param as the number or bool that it was; text where the number would be written in another
    way.
    """
    if text in ("True", "False"):
        return text == "True"
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    return value if type(value) in (int, float) and str(value) == text else text


class Recorded(NamedTuple):
    """One trial as MLflow has it: `metrics` are name -> epoch -> value, `files` its artifacts but
    films, by path.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    metrics: dict[str, dict[int, float]]
    files: dict[str, bytes]


def recorded(reference: str, root: Path | None = None) -> Recorded:
    """One trial or single run: by its run id, its name, or "SWEEP#12". The files are those of its
    sweep and its own.

    A trial that has taken over the result of an equal one is that other one.
    """
    with _reading(root) as (client, experiments):
        run = _one(client, experiments, reference)
        parent = run.data.tags.get("mlflow.parentRunId")
        if twin := run.data.tags.get("harness.duplicate_of"):
            run = _child(client, run.info.experiment_id, parent, twin.removeprefix("#")) or run
        epochs = {key for key in run.data.metrics if key.startswith(("train/", "valid/"))}
        history = {key: client.get_metric_history(run.info.run_id, key) for key in epochs}
        files: dict[str, bytes] = {}
        if parent:
            files |= _files(client, client.get_run(parent), root)
        files |= _files(client, run, root)
    points = {key: {point.step: point.value for point in points} for key, points in history.items()}
    return Recorded(run.info.run_id, run.info.run_name, dict(run.data.tags), points, files)


def _files(client: Any, run: Any, root: Path | None) -> dict[str, bytes]:
    """The artifacts of a run that are read back, as they were written; UsageError where one is
    not.
    """
    run_id, name, folder = run.info.run_id, run.info.run_name, artifacts_folder(root)
    with contextlib.ExitStack() as held:
        # where mlruns/ has moved to, whatever the store says
        place = folder / run_id / "artifacts" if folder else None
        if place is None or not place.is_dir():
            place = Path(held.enter_context(tempfile.TemporaryDirectory()))
            for listed in client.list_artifacts(run_id):
                if listed.path == "plugins" or read_back(listed.path):
                    client.download_artifacts(run_id, listed.path, str(place))
        found = {
            path.relative_to(place).as_posix(): path
            for path in sorted(place.rglob("*"))
            if path.is_file()
        }
        files = {path: file.read_bytes() for path, file in found.items() if read_back(path)}
    checksums = file_checksums(run)
    for path, data in files.items():
        if path not in checksums:
            raise UsageError(
                f"{path} of {name!r} must have a checksum, but has none, from before artifacts had "
                f"versions or since "
                "somebody else has put it there; train it anew"
            )
        if sha256(data) != checksums[path]:
            raise UsageError(
                f"{path} of {name!r} must be as it was written, but it is damaged; restore it from "
                f"a copy, or "
                "train the run anew"
            )
    return files


def _one(client: Any, experiments: list[str], reference: str) -> Any:
    """The run of a trial or of a single network that a reference names."""
    from mlflow.exceptions import MlflowException

    run, known = None, _parents(client, experiments)
    sweep, mark, number = reference.rpartition("#")
    if re.fullmatch("[0-9a-f]{32}", reference):
        with contextlib.suppress(MlflowException):
            run = client.get_run(reference)
    if run is None and (found := next((each for each in known if each.name == reference), None)):
        run = client.get_run(found.run_id)
    if run is None and mark and number.isdigit():
        found = next((each for each in known if sweep.strip() in (each.name, each.run_id)), None)
        run = found and _child(client, found.experiment_id, found.run_id, number)
    if run is None:
        raise UsageError(
            f"a run is named by its run id, by its name or as in 'my sweep#12', but there is none "
            f"for {reference!r}; "
            "harness results lists what there is"
        )
    if (kind := run.data.tags.get("harness.kind")) not in ("trial", "run"):
        raise UsageError(
            f"{reference!r} is a {kind or 'run of something else'}, and only one network can be "
            f"trained again; "
            f"name one of its trials: '{reference}#0'"
        )
    return run


def _child(client: Any, experiment: str, parent: str | None, number: str) -> Any:
    condition = f"tags.\"mlflow.parentRunId\" = '{parent}' AND tags.\"harness.number\" = '{number}'"
    return next(search(client, [experiment], condition), None)


class KnownRun(NamedTuple):
    """A run in MLflow: what `harness.id` says ("" where it is not ours), and how it stands there.

    Times are in ms since 1970; of each metric there is the last value.
    """

    id: str
    name: str
    status: str
    run_id: str
    deleted: bool
    start_ms: int
    end_ms: int | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def known_runs(root: Path | None = None) -> list[KnownRun]:
    """All runs in the store, those deleted in the UI too."""
    from mlflow.entities import ViewType

    with _reading(root) as (client, experiments):
        found = search(client, experiments, "", ViewType.ALL) if experiments else ()
        return [
            KnownRun(
                run.data.tags.get("harness.id", ""),
                run.info.run_name,
                run.info.status,
                run.info.run_id,
                run.info.lifecycle_stage == "deleted",
                run.info.start_time,
                run.info.end_time,
                dict(run.data.tags),
                dict(run.data.params),
                dict(run.data.metrics),
            )
            for run in found
        ]
