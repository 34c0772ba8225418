"""The notebook in docs/ runs from its first cell to its last, and what is stored in it is what
comes out.

    python tests/whole/test_tour.py                # runs it and stores what comes out
    python tests/whole/test_tour.py --check FOLDER  # runs it in a folder, and stores nothing
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve()
NOTEBOOK = HERE.parents[2] / "docs" / "tour.ipynb"
MOST_BYTES = 500_000


def execute(folder: str) -> Any:
    """The notebook with the outputs of a run in a folder."""
    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # A kernel starts with the folders and settings of this process.
    resources = {"metadata": {"path": folder}}
    with tempfile.TemporaryDirectory() as sockets:
        # A port would be open to everybody on the machine.
        where = {"transport": "ipc", "ip": f"{sockets}/kernel"}
        manager = AsyncKernelManager(kernel_name="python3", **where)
        NotebookClient(notebook, km=manager, timeout=240, resources=resources).execute()
    return notebook


def store(notebook: Any) -> None:
    """Writes a notebook as a code host can show it: without times, and without pages in frames."""
    import nbformat

    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{place}"
        cell.metadata.clear()
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "<iframe" in data.get("text/html", ""):
                # It is taken out there, so that the picture beside it is shown.
                del data["text/html"]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, NOTEBOOK)


def kinds(cells: list[Any]) -> list[list[str]]:
    """For each cell what its outputs are, except for what is printed and for frames."""
    found = []
    for cell in cells:
        data = [output.get("data", {}) for output in cell.get("outputs", ())]
        found.append(sorted({kind for each in data for kind in each if kind != "text/html"}))
    return found


# The tests ----------------------------------------------------------------------------------------


def stored() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return content


def test_what_is_stored_is_small_and_names_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"/(tmp|home|work|root|opt)/", text)
    assert "Error" not in text
    pictures = [kind for cell in kinds(stored()["cells"]) for kind in cell if kind == "image/png"]
    assert len(pictures) >= 2


@pytest.mark.slow
def test_the_notebook_runs(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE), "--check", str(root)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout) == kinds(stored()["cells"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        print(json.dumps(kinds(execute(sys.argv[2]).cells)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            store(execute(folder))
