"""The folder of a model as MLflow keeps it: a pyfunc "from code", one .npz, and what it needs.

`write_plainly` writes what MLflow's own `save_model` would, of which the import alone takes seconds
of a processor.
"""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.storage import files
from harness.tracking.known_mlflow import mlflow_version

NETWORK = "network.npz"
CODE = "network_model.py"
PLUGINS = "plugins"

_EXAMPLE = "input_example.json"
_SERVING_EXAMPLE = "serving_input_example.json"
_BUILDERS = ("pip", "setuptools", "wheel")

# What is added to the code of the network. MLflow runs the file where a model is loaded.
_SERVING = '''

# As a model of MLflow ----------------------------------------------------------------------------

import mlflow
import pandas


class NetworkModel(mlflow.pyfunc.PythonModel):
    """The network as MLflow asks it."""

    def load_context(self, context):
        self.network = ServedNetwork(context.artifacts["network"])

    # MLflow warns where there is no hint of a type. It lets arrays pass by this one, too.
    def predict(self, context, model_input: pandas.DataFrame, params=None):
        return pandas.DataFrame(self.network.predict(model_input))


mlflow.models.set_model(NetworkModel())
'''


# What both ways of writing share ------------------------------------------------------------------


def write_parts(folder: Path, artifacts: Path, data: bytes, about: Mapping[str, Any]) -> None:
    """Write the code of a model and its artifacts: the network, and the sources of plugins.

    Parameters
    ----------
    folder
        Where the code goes.
    artifacts
        Where the artifacts go.
    data
        The file of the network.
    about
        The JSON in it.
    """
    files.write_plain(folder / CODE, f"{about['code']}{_SERVING}".encode())
    files.write_plain(artifacts / NETWORK, data)
    for name, source in about["sources"].items():
        files.write_plain(artifacts / PLUGINS / Path(name).name, source.encode())


def requirements_of(about: Mapping[str, Any]) -> list[str]:
    """Pin the packages that a network needs, and those that the code of every model does."""
    own = (f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", "pandas"))
    return [*about["requirements"], *own]


def signature_of(about: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the signature of a model as MLflow keeps it: which rows it takes, what it answers."""
    example = about["example"]
    inputs: list[dict[str, Any]]
    if _is_array(about):
        tensor = {"dtype": example["dtype"], "shape": [-1, len(example["texts"])]}
        inputs = [{"type": "tensor", "tensor-spec": tensor}]
    else:
        # A number may come as a whole one, with a fraction, or not at all, and MLflow would refuse
        # two of them whatever type was said here. The network itself says what it cannot take.
        inputs = [
            {"type": "string" if is_text else "any", "name": name, "required": False}
            for is_text, name in zip(example["texts"], names_of(about), strict=True)
        ]
    return {
        "inputs": json.dumps(inputs),
        "outputs": json.dumps(_outputs(about)),
        "params": None,
    }


def _is_array(about: Mapping[str, Any]) -> bool:
    """Whether a network is asked rows of numbers whose columns have no names."""
    return about["columns"] is None and about["encoding"] is None


def names_of(about: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that a network is asked."""
    return about["columns"] or [str(k) for k in range(len(about["example"]["texts"]))]


def _outputs(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the columns of the answers."""
    number = "double" if about["config"]["dtype"] == "float64" else "float"
    classes = about["classes"]
    if classes is None:
        names = ["prediction"]
        if about["outputs"] > 1:
            names = [f"prediction_{k}" for k in range(about["outputs"])]
        return [_column(number, name) for name in names]
    kind = {"U": "string", "b": "boolean"}.get(np.dtype(classes["dtype"]).kind, "long")
    names = [str(label) for label in classes["labels"]]
    first = "prediction" if "prediction" not in names else "predicted class"
    return [_column(kind, first), *(_column(number, name) for name in names)]


def _column(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "required": True}


def example_of(about: Mapping[str, Any]) -> Any:
    """Return raw rows that a network can be asked: a table where columns have names, else an array.

    Parameters
    ----------
    about
        The JSON of a network.
    """
    example = about["example"]
    if _is_array(about):
        return np.array(example["rows"], example["dtype"])
    import pandas

    return pandas.DataFrame(example["rows"], columns=names_of(about))


# Without MLflow -----------------------------------------------------------------------------------


def write_plainly(
    folder: Path, data: bytes, about: Mapping[str, Any], *, run_id: str, model_id: str
) -> None:
    """Write the folder of a model without MLflow.

    Parameters
    ----------
    folder
        Where the model is to be; its files are replaced.
    data
        The file of the network.
    about
        The JSON in it.
    run_id, model_id
        The run and the model in MLflow.
    """
    write_parts(folder, folder / "artifacts", data, about)
    saved = _write_example(folder, about)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _write_yaml(
        folder / "MLmodel",
        {
            "artifact_path": str(folder),
            "flavors": {"python_function": _flavor(about)},
            "is_signature_from_type_hint": False,
            "mlflow_version": mlflow_version(),
            "model_id": model_id,
            "model_size_bytes": size,
            "model_uuid": model_id,
            "prompts": None,
            "run_id": run_id,
            "saved_input_example_info": saved,
            "signature": signature_of(about),
            "type_hint_from_example": False,
            "utc_time_created": str(datetime.now(UTC).replace(tzinfo=None)),
        },
    )
    _write_environments(folder, requirements_of(about))


def _write_environments(folder: Path, pins: list[str]) -> None:
    """Write what a model needs, for pip, for conda and for a virtual environment."""
    files.write_plain(folder / "requirements.txt", "\n".join(pins).encode())
    python = platform.python_version()
    pip = _version_of("pip")
    _write_yaml(
        folder / "conda.yaml",
        {
            "channels": ["conda-forge"],
            "dependencies": [f"python={python}", f"pip<={pip}" if pip else "pip", {"pip": pins}],
            "name": "mlflow-env",
        },
    )
    versions = {name: _version_of(name) for name in _BUILDERS}
    _write_yaml(
        folder / "python_env.yaml",
        {
            "python": python,
            "build_dependencies": [
                f"{name}=={version}" if version else name for name, version in versions.items()
            ],
            "dependencies": ["-r requirements.txt"],
        },
        is_sorted=False,
    )


def _flavor(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return how MLflow loads a model as a function of Python."""
    artifacts = {"network": {"path": f"artifacts/{NETWORK}", "uri": NETWORK}}
    if about["sources"]:
        artifacts["plugins"] = {"path": f"artifacts/{PLUGINS}", "uri": PLUGINS}
    return {
        "artifacts": artifacts,
        "cloudpickle_version": _version_of("cloudpickle"),
        "code": None,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": CODE,
        "python_version": platform.python_version(),
        "streamable": False,
    }


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _write_example(folder: Path, about: Mapping[str, Any]) -> dict[str, str]:
    """Write the rows that MLflow shows as an example, and return what it knows of them."""
    saved = {"artifact_path": _EXAMPLE, "serving_input_path": _SERVING_EXAMPLE}
    rows = about["example"]["rows"]
    example: Any
    if _is_array(about):
        saved["type"] = "ndarray"
        array = np.array(rows, about["example"]["dtype"])
        # What is missing among numbers comes as None.
        example = array.astype(object)
        example[np.isnan(array)] = None
        example = example.tolist()
        served = {"inputs": example}
    else:
        saved |= {"type": "dataframe", "pandas_orient": "split"}
        columns = [_as_pandas_keeps(column) for column in zip(*rows, strict=True)]
        data = [list(row) for row in zip(*columns, strict=True)]
        example = {"columns": names_of(about), "data": data}
        served = {"dataframe_split": example}
    files.write_plain(folder / _EXAMPLE, json.dumps(example).encode())
    files.write_plain(folder / _SERVING_EXAMPLE, json.dumps(served, indent=2).encode())
    return saved


def _as_pandas_keeps(column: Sequence[Any]) -> list[Any]:
    """Return a column as a table keeps it: what is missing among numbers is not a number."""
    present = [value for value in column if value is not None]
    if any(isinstance(value, str) for value in present) or not present:
        return list(column)
    if len(present) == len(column) and not any(isinstance(value, float) for value in present):
        return list(column)
    return [math.nan if value is None else float(value) for value in column]


def _write_yaml(path: Path, content: Mapping[str, Any], *, is_sorted: bool = True) -> None:
    import yaml

    text = yaml.safe_dump(dict(content), default_flow_style=False, sort_keys=is_sorted)
    files.write_plain(path, text.encode())
