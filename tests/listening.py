"""What this process and those that it has started listen on."""

import psutil


def listening() -> dict[int, set[str]]:
    """The addresses at which this process and those below it listen."""
    this = psutil.Process()
    found: dict[int, set[str]] = {}
    for process in [this, *this.children(recursive=True)]:
        for connection in process.net_connections():
            if connection.status == psutil.CONN_LISTEN:
                found.setdefault(process.pid, set()).add(connection.laddr.ip)
    return found
