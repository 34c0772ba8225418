"""The server of the page: on loopback, for whoever has its address, which holds a token."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.trials.interrupts import term_stops
from harness.watching.snapshot import Watched

_HOST = "127.0.0.1"
# No other page may frame this one or learn its address, and it asks nobody else for anything.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(watched: Watched, token: str, port: int) -> Any:
    """Makes the Flask application.

    Parameters
    ----------
    watched : Watched
        What it shows.
    token : str
        What every request must have, so that no other page or user can ask.
    port : int
        The port that it is served at, which the Host of a request must name.

    Returns
    -------
    flask.Flask
    """
    from flask import Flask, Response, abort, render_template, request

    app = Flask(__name__, static_folder=None)
    hosts = {f"{_HOST}:{port}", f"localhost:{port}"}

    @app.before_request
    def only_for_us() -> None:
        """Refuses what does not come from the page itself."""
        # A page of somebody else's can point a name of its own at this machine (DNS rebinding).
        if request.host not in hosts:
            abort(403)
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in hosts:
            abort(403)
        given = request.args.get("token", "")
        if not secrets.compare_digest(given.encode(), token.encode()):
            abort(403)

    @app.after_request
    def with_headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.get("/")
    def page() -> str:
        return render_template("watch.html", token=token)

    @app.get("/state")
    def state() -> dict[str, Any]:
        watched.watch.renew()
        return watched.snapshot()

    @app.get("/weights/<int:number>/<int:step>.png")
    def weights(number: int, step: int) -> Response:
        return _image(watched.watch.picture(number, step))

    @app.get("/films/<int:number>.png")
    def last_frame(number: int) -> Response:
        return _image(watched.last_frame(number))

    return app


def _image(picture: bytes | None) -> Any:
    """A PNG as an answer; where there is none, that it was not found."""
    from flask import Response, abort

    if picture is None:
        abort(404)
    return Response(picture, mimetype="image/png")


def serve(folder: Path, port: int, say: Callable[[str], None]) -> None:
    """Serves the page of a study until Ctrl-C, and leaves nothing behind.

    Parameters
    ----------
    folder : Path
        The folder of the study.
    port : int
        Where to listen; 0 for any port that is free.
    say : callable
        Gets each message for the user.

    Raises
    ------
    UsageError
        If the port cannot be had.
    """
    import logging

    from werkzeug.serving import make_server

    # A line for each request would cover the address.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    watched = Watched(folder)
    token = secrets.token_urlsafe(16)
    port = port or _free_port()
    try:
        server = make_server(_HOST, port, application(watched, token, port), threaded=True)
    except (OSError, SystemExit) as error:
        raise UsageError(
            f"--port must be a port that is free, but {port} is not; choose another one"
        ) from error
    try:
        say(f"Watching {folder.name}: http://{_HOST}:{port}/?token={token}  (Ctrl-C ends it)")
        with term_stops():
            server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        say("The page has ended; what it shows goes on.")
    finally:
        server.server_close()
        watched.watch.end()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind((_HOST, 0))
        return free.getsockname()[1]
