"""Which page of the MLflow UI is opened: answers of a server that has just so much to say."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.errors import UsageError
from harness.tracking import saved_view, ui_page

VIEW = "mlflow.sharedViewState."


def tag(key: str, name: str, updated_ms: int) -> dict[str, str]:
    content = {"name": name, "updatedAt": updated_ms, "state": "deflate;"}
    return {"key": f"{VIEW}{key}", "value": json.dumps(content)}


TAGS = [
    tag("a" * 32, "first sweep", 100),
    tag("b" * 32, "relu or tanh", 300),
    tag("c" * 32, "first sweep", 200),
    {"key": f"{VIEW}{'d' * 32}", "value": "no JSON"},
    {"key": "mlflow.note.content", "value": "{}"},
]
RUNS = [{"info": {"run_id": "e" * 32, "run_name": "digits"}}]


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path.endswith("experiment_name=harness")
        self.answer(known, {"experiment": {"experiment_id": "7", "tags": TAGS}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(asked["experiment_ids"] == ["7"], {"runs": RUNS})

    def answer(self, known: bool, content: Any) -> None:
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_newest_view_is_opened_or_the_named_one(address: str) -> None:
    opened = "#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    newest = ui_page.page_of(address, "harness")
    assert newest == f"{opened}&viewStateShareKey={'b' * 32}"
    named = ui_page.page_of(address, "harness", "first sweep")
    assert named == f"{opened}&viewStateShareKey={'c' * 32}"


def test_what_has_no_view_is_opened_as_a_run(address: str) -> None:
    page = ui_page.page_of(address, "harness", "digits")
    assert page == f"#/experiments/7/runs/{'e' * 32}?workflowType=machine_learning"
    page = ui_page.page_of(address, "elsewhere")
    assert page == "#/experiments?workflowType=machine_learning"


@pytest.mark.parametrize("project", ["harness", "elsewhere"])
def test_a_name_that_nothing_has_is_refused(address: str, project: str) -> None:
    sentence = f"there is no sweep or comparison 'lost' in the project '{project}'; "
    with pytest.raises(UsageError, match=sentence):
        ui_page.page_of(address, project, "lost")


def test_what_does_not_answer_is_nothing() -> None:
    assert ui_page.fetch("http://127.0.0.1:9/health") is None


def test_views_are_read_back_from_tags() -> None:
    views = saved_view.saved_in({each["key"]: each["value"] for each in TAGS})
    assert [view.name for view in views] == ["first sweep", "relu or tanh", "first sweep"]
    assert views[0] == saved_view.SavedView(name="first sweep", run_id="a" * 32, updated_ms=100)
