"""A trained network answers on raw rows, with NumPy and the standard library alone.

This file is the code of the MLflow model of a network: its text travels with the network, so that
it must import nothing of the harness. What it runs is a program that `harness.model.lowering` has
recorded, call by call, and so it gives the bits that the harness gives.
"""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LOST = ("nan", "<NA>", "NaT")  # texts of missing values


class ServedNetwork:
    """The network in a file.

    Parameters
    ----------
    path
        The .npz file.

    Attributes
    ----------
    about
        What the file says of the network, as JSON.
    """

    def __init__(self, path: Any) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.about: dict[str, Any] = json.loads(file["about"].tobytes())
            names = [name for name in file.files if name.startswith("served/")]
            arrays = {name: file[name] for name in names}
        self._program = None
        if self.about["program"] is not None:
            self._program = Program(self.about["program"], arrays)
        else:
            # No NumPy program says what a layer of a plugin does, so that the harness must run it.
            self._model = _with_harness(path, self.about)

    def predict(self, rows: Any) -> dict[str, np.ndarray]:
        """The answers for raw rows, by column.

        Parameters
        ----------
        rows
            A table of pandas with the columns that the network learned from, or an array (N, ...).

        Returns
        -------
        dict of str to numpy.ndarray
            Of a classification the predicted class as "prediction", and for each class its
            probability; of a regression "prediction", or "prediction_0" and so on.

        Raises
        ------
        ValueError
            Where the rows are not such as the network learned from.
        """
        answers = self._answers(rows)
        classes = self.about["classes"]
        if classes is None:
            if answers.shape[1] == 1:
                return {"prediction": answers[:, 0]}
            return {f"prediction_{k}": column for k, column in enumerate(answers.T)}
        labels = np.array(classes["labels"], classes["dtype"])
        names = [str(label) for label in classes["labels"]]
        first = "prediction" if "prediction" not in names else "predicted class"
        columns = {first: labels[np.argmax(answers, axis=-1)]}
        columns.update(zip(names, answers.T, strict=True))
        return columns

    def _answers(self, rows: Any) -> np.ndarray:
        """Probabilities or values (N, K)."""
        if self._program is None:
            ask = self._model.predict_proba
            if self.about["classes"] is None:
                ask = self._model.predict
            answers: np.ndarray = ask(rows)
            return answers
        features = scaled(read_rows(rows, self.about), self.about)
        answers = self._program.in_batches(features)
        if not np.isfinite(answers).all():
            raise ValueError("the outputs are not finite: the rows hold far too large numbers")
        return answers


def _with_harness(path: Any, about: dict[str, Any]) -> Any:
    """The model as the harness loads it, with its plugins."""
    try:
        harness = importlib.import_module(about["needs"])
    except ImportError as error:
        layers = ", ".join(layer["name"] for layer in about["config"]["layers"])
        raise ImportError(
            f"this network ({layers}) can only be run by {about['needs']!r}, which is not installed"
        ) from error
    try:
        return harness.load_model(path)
    except harness.UsageError:
        # It names what a plugin registers that is not loaded here; the file has the sources.
        pass
    folder = Path(tempfile.mkdtemp(prefix="plugins"))
    for name, source in about["sources"].items():
        file = folder / Path(name).name
        file.write_text(source)
        harness.load_plugin(str(file))
    return harness.load_model(path)


# Reading rows -------------------------------------------------------------------------------------


def read_rows(rows: Any, about: dict[str, Any]) -> np.ndarray:
    """Raw rows as features (N, I) that are not scaled yet."""
    if about["encoding"] is not None:
        return _encoded(rows, about)
    if about["columns"] is not None and hasattr(rows, "columns"):
        rows = _named(rows, about["columns"])
    values = np.asarray(rows)
    if values.dtype.kind == "O":
        values = _numbers(values, "the table")
    if values.dtype.kind not in "biuf" or values.ndim < 2:
        raise ValueError(f"rows must be numbers (N, columns), got {values.dtype} {values.shape}")
    values = values.reshape(len(values), int(np.prod(values.shape[1:])))
    if values.shape[1] != about["features"]:
        raise ValueError(f"rows must have {about['features']} features, got {values.shape[1]}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("rows must be finite, got NaN or infinity; fill in a number")
    return values


def _named(table: Any, names: list[str]) -> Any:
    """The columns of a table that the network learned from, in their order."""
    present = {str(name): name for name in table.columns}
    counted = [str(k) for k in range(len(present))]
    # Columns that only have numbers are taken by their places.
    if list(present) == counted and len(names) == len(counted):
        return table
    missing = [name for name in names if name not in present]
    if missing:
        raise ValueError(f"the table must have the columns {', '.join(missing)}")
    return table[[present[name] for name in names]]


def _encoded(rows: Any, about: dict[str, Any]) -> np.ndarray:
    """Features (N, I) of a table with texts, or with missing values."""
    encoding = about["encoding"]
    columns = encoding["columns"]
    if hasattr(rows, "columns"):
        if encoding["named"]:
            rows = _named(rows, [column[0] for column in columns])
        table = [rows.iloc[:, k].to_numpy(object) for k in range(rows.shape[1])]
    else:
        table = list(np.asarray(rows, object).T)
    if len(table) != len(columns):
        raise ValueError(f"rows must have {len(columns)} columns, got {len(table)}")
    parts = [
        _features_of(values, column, encoding["missing"])
        for values, column in zip(table, columns, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def _features_of(values: np.ndarray, column: list[Any], filled: str | None) -> np.ndarray:
    """The features of a column, of which the encoding says name, texts, mean and so on."""
    name, texts, mean, marks_missing, _ = column
    missing = np.array([value is None or str(value) in LOST for value in values], bool)
    if filled is None and missing.any():
        raise ValueError(f"column {name!r} must have no missing value; fill it in")
    width = (1 if texts is None else len(texts)) + bool(marks_missing)
    features = np.zeros((len(values), width))
    if texts is None:
        numbers = _numbers(np.where(missing, 0.0, values), f"column {name!r}")
        features[:, 0] = np.where(missing, np.float64(mean or 0.0), numbers)
    else:
        place_of = {text: k for k, text in enumerate(texts)}
        for row in np.flatnonzero(~missing):
            place = place_of.get(_text(values[row]))
            # A text that the network has not learned is 0 everywhere.
            if place is not None:
                features[row, place] = 1
    if marks_missing:
        features[:, -1] = missing
    return features


def _numbers(values: np.ndarray, what: str) -> np.ndarray:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must hold numbers, as where the network learned") from error
    if np.isinf(numbers).any():
        raise ValueError(f"{what} must be finite, got infinity")
    return numbers


def _text(value: Any) -> str:
    """A value as the text that it was learned as: 2.0 is "2"."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float | np.floating) and value % 1 == 0:
        return str(int(value))
    return str(value)


def scaled(features: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """Features (N, I) as the network sees them."""
    dtype = np.dtype(about["config"]["dtype"])
    shift = np.asarray(about["scaling"]["shift"], np.float64)
    divisor = np.asarray(about["scaling"]["divisor"], np.float64)
    out = np.empty(features.shape, dtype)
    with np.errstate(over="ignore"):
        if not shift.any():
            return np.divide(
                features, divisor.astype(dtype), out=out, dtype=dtype, casting="same_kind"
            )
        centered = np.subtract(features, shift, dtype=np.float64)
        return np.divide(centered, divisor, out=out, casting="same_kind")


# Running the program ------------------------------------------------------------------------------


class Program:
    """The calls of NumPy that a batch goes through.

    Parameters
    ----------
    spec
        The program as JSON: its registers, and its steps [function, arguments, keywords, result].
    arrays
        The contents of the registers that begin with one, by name.
    """

    def __init__(self, spec: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._batch: tuple[int, int] = tuple(spec["batch"])
        self._dtype = np.dtype(spec["dtype"])
        self._registers: list[Any] = []
        for register in spec["registers"]:
            content = None
            if "array" in register:
                content = arrays[register["array"]].copy()
            elif "shape" in register:
                content = np.zeros(register["shape"], register["dtype"])
            self._registers.append(content)
        self._input = spec["input"]
        self._output = spec["output"]
        self._steps = [(function_of(step[0]), *step[1:]) for step in spec["steps"]]

    def in_batches(self, rows: np.ndarray) -> np.ndarray:
        """The answers (N, K) for features (N, I).

        Every batch has the size with which the network was evaluated, because the last bits of a
        matrix product depend on it.
        """
        size, width = self._batch
        results = []
        for at in range(0, max(len(rows), 1), size):
            part = rows[at : at + size]
            batch = np.zeros((size, width), self._dtype)
            batch[: len(part)] = part
            results.append(self.run(batch)[: len(part)].copy())
        return np.concatenate(results)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The answers (B, K) for a batch (B, I), in a buffer."""
        np.copyto(self._value(self._input), batch)
        with np.errstate(all="ignore"):
            for function, arguments, keywords, result in self._steps:
                positional = [self._value(argument) for argument in arguments]
                named = {key: self._value(value) for key, value in keywords.items()}
                returned = function(*positional, **named)
                if result is not None:
                    self._registers[result] = np.asarray(returned)
        answers: np.ndarray = self._value(self._output)
        return answers

    def _value(self, spec: Any) -> Any:
        """What an argument stands for: a plain value, or a view of a register."""
        if not isinstance(spec, dict):
            return spec
        if "list" in spec:
            return tuple(self._value(item) for item in spec["list"])
        if "dtype" in spec:
            return np.dtype(spec["dtype"])
        if "scalar" in spec:
            dtype, value = spec["scalar"]
            return np.dtype(dtype).type(value)
        register = self._registers[spec["at"]]
        if "view" not in spec:
            return register
        shape, kind, offset, strides = spec["view"]
        return np.ndarray(tuple(shape), kind, register, offset, tuple(strides))


def function_of(name: str) -> Any:
    """The function of NumPy, or of scipy.special, that a step names: "add", "add.reduce"."""
    library, _, path = name.partition(":")
    function: Any = importlib.import_module(library)
    for part in path.split("."):
        function = getattr(function, part)
    return function
