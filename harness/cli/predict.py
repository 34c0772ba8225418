"""harness predict: a trained network answers."""

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from harness.cli.arguments import load_plugins
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.tables import write_table
from harness.cli.terminal import echo, write_data
from harness.data.csv_format import Form
from harness.data.examples import Columns, Examples, read_examples
from harness.data.paths import kind_of
from harness.data.table_files import no_column, read_frame
from harness.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.model import Model

LONGEST_NAME = 4096  # characters of a path or a spec
DIGITS = "%.6g"  # of the numbers in the table


@click.command(
    cls=Command,
    short_help="Predict with a trained network.",
    example="harness predict 'first sweep#23' new.csv --id key --proba --output predicted.csv",
)
@text_option(
    "--output",
    "--out",
    "output",
    metavar="FILE.csv",
    help="Write to this file instead of the screen.",
)
@text_option(
    "--id",
    "ids",
    multiple=True,
    metavar="COLUMN",
    help="A column of DATA to write in front, such as a key; may be repeated.",
)
@text_option(
    "--label",
    metavar="COLUMN",
    help="The column of true labels in DATA: left out of the features, and scored.",
)
@click.option("--proba", is_flag=True, help="Add the probability of each class.")
@text_option(
    "--sep",
    metavar="MARK",
    help="What stands between two cells of a .csv file.  [default: as in training, or guessed]",
)
@text_option(
    "--decimal", metavar="MARK", help="The decimal mark of a .csv file.  [default: as in training]"
)
@text_option(
    "--thousands",
    metavar="MARK",
    help="What groups the digits in a .csv file.  [default: as in training]",
)
@text_option(
    "--encoding", metavar="NAME", help="The encoding of a .csv file.  [default: as in training]"
)
@plugin_option
@click.argument("model")
@click.argument("data")
def predict(
    model: str,
    data: str,
    output: str | None,
    ids: tuple[str, ...],
    label: str | None,
    proba: bool,
    plugins: tuple[str, ...],
    **form: str | None,
) -> None:
    """Predict with a trained network: one row of CSV for each example.

    MODEL is the path that it was saved under (harness run --save), or a logged run: its name, its
    run id, 'SWEEP#3', or a sweep, which stands for its best network. DATA is a .csv or .parquet
    file with the columns that it learned from (in any order, others are left out), an .npz with an
    array x, a folder of IDX files, or the name of a data set, of which the test part is taken (all
    of it where there is none). Where true labels are known, they are written too, and the score is
    printed to stderr.
    """
    from harness.escapes import to_csv
    from harness.maintenance.models import load_model

    load_plugins(plugins)
    net = load_model(model)
    given_form = {name: mark for name, mark in form.items() if mark is not None}
    examples = _examples(data, label, net, given_form)
    table = _answers(net, examples, proba)
    if examples.y is not None and np.ndim(examples.y) == 1:
        table.insert(0, "label", examples.y)
    for place, (name, column) in enumerate(_id_columns(data, ids, net, given_form).items()):
        table.insert(place, name, column, allow_duplicates=True)
    # People ask how many are right, whatever metric the training was steered by.
    metric = "accuracy"
    if net.classes is None:
        metric = net.config.metric["name"]
    score = None
    if examples.y is not None:
        score = net.score(examples.x, examples.y, metric=metric)
    if output is not None:
        write_table(table, output, DIGITS)
    else:
        write_data(to_csv(table, DIGITS))
    if score is not None:
        echo(f"{metric} {score:.4f} on {len(table)} examples", err=True)


def _answers(net: "Model", examples: Examples, with_probabilities: bool) -> "DataFrame":
    """A table with a row for each example: what is predicted, and the probability of each class."""
    import pandas

    predictions = net.predict(examples.x)
    columns: dict[str, Any] = {}
    if predictions.ndim == 1:
        columns["prediction"] = predictions
    elif predictions.shape[1] == 1:
        columns["prediction"] = predictions[:, 0]
    else:
        for k, column in enumerate(predictions.T):
            columns[f"prediction_{k}"] = column
    if with_probabilities:
        # Without classes this raises an error that says so.
        probabilities = net.predict_proba(examples.x)
        classes: Any = net.classes
        for name, column in zip(classes, probabilities.T, strict=True):
            columns[f"p_{name}"] = column
    return pandas.DataFrame(columns)


def _examples(data: str, label: str | None, net: "Model", form: dict[str, str]) -> Examples:
    """The examples that DATA stands for.

    Parameters
    ----------
    data
        A path, or the name or spec of a data set.
    label
        The column of labels that --label names.
    net
        The network that is asked.
    form
        The options that say how a CSV file is written, of those that were given.
    """
    if not data.strip():
        raise UsageError(
            f"DATA must be a path or the name of a data set, got {data!r}; see "
            f"harness predict --help"
        )
    kind = kind_of(data)
    if label is not None and kind not in ("csv", "parquet"):
        raise UsageError(f"--label goes with a .csv or .parquet file, got {data!r}; leave it out")
    if form and kind != "csv":
        raise UsageError(f"--{next(iter(form))} goes with a .csv file, got {data!r}; leave it out")
    columns = _columns(net, label, form)
    examples = read_examples(data, columns, must_have_label=label is not None)
    return examples or _of_data_set(data)


def _id_columns(
    data: str, ids: tuple[str, ...], net: "Model", form: dict[str, str]
) -> dict[str, Any]:
    """The columns of a table that --id names, as they are written there."""
    if not ids:
        return {}
    if kind_of(data) not in ("csv", "parquet"):
        raise UsageError(f"--id goes with a .csv or .parquet file, got {data!r}; leave it out")
    written = _columns(net, None, form).form
    table = read_frame(data, written, (), ids, must_drop=False).table
    for name in ids:
        if name not in table.columns:
            raise no_column(data, name, list(table.columns))
    return {name: table[name].to_numpy() for name in ids}


def _columns(net: "Model", label: str | None, form: dict[str, str]) -> Columns:
    """What the network learned of the columns of its file, and what the options say otherwise."""
    spec: dict[str, Any] = {}
    if isinstance(net.config.data, dict):
        spec = net.config.data
    drop = spec.get("drop", ())
    if isinstance(drop, str):
        drop = (drop,)
    # What is given now goes before what the training file was like.
    written = {**spec, **form}
    return Columns(
        features=net.features,
        texts=net.text_columns,
        label=label or spec.get("label"),
        label_is_number=net.classes is None,
        drop=tuple(drop),
        form=Form(
            sep=written.get("sep"),
            decimal=written.get("decimal"),
            thousands=written.get("thousands"),
            encoding=written.get("encoding"),
        ),
    )


def _of_data_set(data: str) -> Examples:
    """The test part of a data set, or all of it where it has none."""
    from harness.data import load

    if not data.isprintable() or len(data) > LONGEST_NAME:
        raise UsageError(
            f"DATA must be a path or the name of a data set, got {data[:100]!r}; check it"
        )
    source = load(data)
    x = source.table()
    y: Any = source.y
    if source.x_test is not None:
        x = source.test_table()
        y = source.y_test
    if source.classes:
        y = np.array(source.classes)[y]
    return Examples(x, y)
