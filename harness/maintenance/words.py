"""How maintenance says numbers."""

from collections.abc import Callable

Say = Callable[[str], None]

_UNITS = ("B", "kB", "MB", "GB")


def counted(number: int, word: str) -> str:
    """A number of things: "1 record", "2 records"."""
    if number == 1:
        return f"1 {word}"
    return f"{number} {word}s"


def waits(number: int) -> str:
    """The verb for a number of things that wait, or for none: "waits", "wait"."""
    return "wait" if number > 1 else "waits"


def size(count: float) -> str:
    """Bytes as people read them: "77.3 GB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in _UNITS[1:-1]:
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} {_UNITS[-1]}"
