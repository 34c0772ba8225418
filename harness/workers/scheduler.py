"""The scheduler of a cluster that is there already: its address, and whether it answers."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_ADDRESS = re.compile(
    r"(?P<protocol>tcp|tls)://(?P<host>[\w.-]+|\[[\da-fA-F:.]+\]):(?P<port>\d{1,5})/?"
)
HIGHEST_PORT = 65535


def address_of(scheduler: str) -> str:
    """A scheduler's address as Dask wants it.

    Parameters
    ----------
    scheduler : str
        An address, or the path of a scheduler file that holds one.

    Raises
    ------
    UsageError
        There is none, or it needs certificates that nobody has named.
    """
    if scheduler.endswith(".json"):
        scheduler = _read_file(scheduler)
    parts = _ADDRESS.fullmatch(scheduler)
    if not parts or int(parts["port"]) > HIGHEST_PORT:
        raise UsageError(
            f"a scheduler must be an address such as tcp://127.0.0.1:8786, got {scheduler!r}; "
            "tls:// is encrypted, tcp:// is not"
        )
    if parts["protocol"] == "tls":
        _check_certificates(scheduler)
    return f"{parts['protocol']}://{parts['host']}:{parts['port']}"


def _read_file(path: str) -> str:
    try:
        return str(json.loads(Path(path).read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"a scheduler file must be what 'dask scheduler --scheduler-file {path}' has written, "
            f"but: {type(error).__name__}: {error}; wait until it is there"
        ) from None


def _check_certificates(scheduler: str) -> None:
    from distributed.security import Security

    if Security().get_connection_args("client").get("ssl_context") is None:
        raise UsageError(
            f"{scheduler} needs certificates; name them in Dask's configuration "
            "(distributed.comm.tls) or in DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY"
        )


def check_answer(address: str) -> None:
    """UsageError where no Dask scheduler answers.

    A Client would wait for ever for somebody who is silent.
    """
    from distributed.core import rpc
    from distributed.security import Security
    from distributed.utils import LoopRunner

    async def ask() -> Any:
        security = Security().get_connection_args("client")
        async with rpc(address, connection_args=security, timeout=5) as peer:
            return await asyncio.wait_for(peer.identity(n_workers=0), 10)

    loop = LoopRunner()
    loop.start()
    try:
        kind = loop.run_sync(ask)["type"]
        if kind == "Scheduler":
            return
        problem = f"it is a {kind}"
    except Exception as error:  # Whatever the bytes of something else lead to.
        problem = str(error) or type(error).__name__
    finally:
        loop.stop()
    raise UsageError(
        f"no Dask scheduler answers at {address!r} ({problem}); start one with 'dask scheduler' or "
        "leave it out"
    ) from None
