"""The console of a study: what its lines say, how they are drawn, and when plain ones come."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator

import pytest

from harness.studies.board import Board, Shown
from harness.studies.console import Above, Plain, Terminal
from harness.studies.pace import Pace, in_words

MARK = "\0"  # no line of a console holds one


class Screen:
    """A terminal of a width: what its lines hold after all that was written to it."""

    def __init__(self, columns: int, wraps: bool = False) -> None:
        self.columns = columns
        self.wraps = wraps
        self.rows = [""]
        self.row = 0
        self.column = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[\d*[A-Z]|[\s\S]", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part == "\x1b[K":
                self.rows[self.row] = self.rows[self.row][: self.column]
            elif part == "\x1b[J":
                self.rows[self.row] = self.rows[self.row][: self.column]
                del self.rows[self.row + 1 :]
            elif part.endswith("A"):
                self.row -= int(part[2:-1] or 1)
                assert self.row >= 0
            else:
                assert part != "\x1b"
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + part + row[self.column + 1 :]
                self.column += 1
                assert self.column < self.columns or self.wraps, "no line comes to the edge"
                if self.column == self.columns:
                    self.feed("\r\n")

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def board_of(total: int = 40, ended: int = 0) -> tuple[Board, Clock]:
    clock = Clock()
    return Board("digits", "trial", total, ended, clock=clock), clock


def train(board: Board, number: int, epoch: int = 0, value: float | None = None) -> None:
    if number not in board.in_training:
        board.begin(number, Shown(f"#{number}", 10, board.clock()))
    board.in_training[number].epoch = epoch
    board.in_training[number].value = value


def write_all(board: Board, clock: Clock, seconds: list[float]) -> None:
    """Trials one after the other that take so many seconds each."""
    for number, took in enumerate(seconds):
        train(board, number)
        clock.now += took
        board.end(number, has_failed=False)


# What is said -------------------------------------------------------------------------------------


def test_a_wait_for_loops_is_said_while_it_lasts() -> None:
    board, _ = board_of(10)
    train(board, 0)
    compiles = True
    board.compiles = lambda: compiles
    said = "compiling loops, once on this machine; training #0 0/10"
    assert board.line() == f"digits: 0/10 trials; {said}"
    assert board.lines(80, blocks=False)[1] == said
    assert board.lines(30, blocks=False)[1] == said[:30]
    compiles = False
    assert board.line() == "digits: 0/10 trials; training #0 0/10"


def test_time_left_is_unknown_until_a_trial_has_ended() -> None:
    board, clock = board_of(10)
    train(board, 0)
    clock.now = 30
    train(board, 0, 5, 0.9)
    assert board.line() == "digits: 0/10 trials; training #0 5/10 0.9000"
    clock.now = 60
    board.end(0, has_failed=False)
    assert board.line() == "digits: 1/10 trials, 1.0/min, 9 min left"
    train(board, 1)
    clock.now = 90
    train(board, 1, 5)
    # Half of the second one is done, so the pace is the same.
    assert "1.0/min, 8 min left" in board.line()


def test_time_left_goes_by_what_has_ended_recently() -> None:
    board, clock = board_of(200)
    write_all(board, clock, [60.0] * 40 + [6.0] * 60)
    assert "10.0/min, 10 min left" in board.line()


def test_pruned_trials_count_as_often_as_they_come() -> None:
    board, clock = board_of(40)
    # Each second trial is pruned after a tenth of its time.
    write_all(board, clock, [100.0, 10.0] * 10)
    assert board.pace.seconds_left(clock.now, 20, []) == pytest.approx(20 * 55.0)


def test_copies_make_no_pace() -> None:
    board, clock = board_of(10)
    for number in range(4):
        clock.now += 0.01
        board.end(number, has_failed=False)
    assert board.line() == "digits: 4/10 trials"


def test_the_slowest_of_the_last_trials_decides() -> None:
    pace = Pace()
    pace.begin(0.0, 0.0)
    for k in range(1, 9):
        pace.end(60.0, 0.0, 60.0, 8 - k)
    # Eight workers, one trial left that has just begun: a minute, not an eighth of it.
    assert pace.seconds_left(60.0, 1, [0.0]) == pytest.approx(60.0)
    assert pace.seconds_left(60.0, 8, []) == pytest.approx(60.0)


def test_a_resumed_trial_is_not_counted_as_fast() -> None:
    shown = Shown("#0", 10, begun=100.0, first=8, epoch=10)
    assert shown.whole_seconds(120.0) == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3540, "59 min"),
        (3599, "1 h 0 min"),
        (12000, "3 h 20 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("columns", range(1, 160, 3))
def test_lines_fit_into_any_width(columns: int) -> None:
    board, clock = board_of()
    write_all(board, clock, [7.0] * 5)
    board.headline = "best accuracy 0.9431 (#3)"
    board.failures = 2
    for number in range(5, 69):
        train(board, number, number % 10, 0.5)
    lines = board.lines(columns, blocks=True)
    assert [len(line) <= columns for line in lines] == [True, True]
    if columns >= 60:
        assert "5/40 trials, best accuracy 0.9431 (#3)" in lines[0]
        assert re.search(r"training #5 5/10 0\.5000, .* and \d+ more$", lines[1])
    plain = board.line()
    assert plain.endswith(" and 60 more")
    assert "2 failed" in plain


# On a terminal ------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """A pseudo terminal: the end of its reader, and a stream that writes to it."""
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


def resize(stream: io.TextIOWrapper, columns: int, rows: int = 24) -> None:
    fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def written(ours: int, stream: io.TextIOWrapper) -> str:
    """All that was written to the terminal since the last call.

    The system hands it over piece by piece, in a thread of its own, so that one read may return the
    first pieces alone. A mark behind them says when all are there.
    """
    stream.write(MARK)
    stream.flush()
    text = b""
    while not text.endswith(MARK.encode()):
        text += os.read(ours, 1 << 16)
    return text.decode().removesuffix(MARK)


def test_two_lines_are_drawn_in_place_and_messages_above(
    terminal: tuple[int, io.TextIOWrapper],
) -> None:
    ours, stream = terminal
    resize(stream, 60)
    board, clock = board_of(3)
    console = Terminal(stream, board)
    screen = Screen(60)
    for epoch in range(10):
        train(board, 0, epoch, 0.1 * epoch)
        clock.now += 1
        console.news()
        frame = written(ours, stream)
        screen.feed(frame)
        assert len(screen.lines) == 2
        assert screen.lines[1] == f"training #0 {epoch}/10 {0.1 * epoch:.4f}"
        # What is there is written over, and never erased first.
        assert "\x1b[J" not in frame[3:]
    above = Above(stream, console)
    print("a message", file=above)
    print("a harmful \x1b[2J one", file=above)
    screen.feed(written(ours, stream))
    assert screen.lines[:2] == ["a message", r"a harmful \x1b[2J one"]
    assert len(screen.lines) == 4
    board.end(0, has_failed=False)
    console.close()
    screen.feed(written(ours, stream))
    print("what comes next", file=stream, flush=True)
    screen.feed(written(ours, stream))
    assert len(screen.lines) == 4
    assert "1/3 trials" in screen.lines[2]
    assert screen.lines[3] == "what comes next"


def test_nothing_is_written_while_nothing_changes(terminal: tuple[int, io.TextIOWrapper]) -> None:
    ours, stream = terminal
    resize(stream, 60)
    board, clock = board_of(3)
    console = Terminal(stream, board)
    for _ in range(10):
        clock.now += 1
        console.news()
    assert written(ours, stream).count("digits") == 1


@pytest.mark.parametrize("columns", [30, 120])
def test_a_resized_terminal_is_drawn_anew(
    terminal: tuple[int, io.TextIOWrapper], columns: int
) -> None:
    ours, stream = terminal
    resize(stream, 60)
    board, clock = board_of(3)
    console = Terminal(stream, board)
    for number in range(8):
        train(board, number, 3, 0.5)
    console.news()
    written(ours, stream)
    resize(stream, columns)
    clock.now += 1
    console.news()
    frame = written(ours, stream)
    # From the cursor, which stands at the beginning of the lines, all is erased.
    assert frame.startswith("\r\x1b[J")
    screen = Screen(columns)
    screen.feed(frame)
    assert len(screen.lines) == 2
    assert (screen.row, screen.column) == (0, 0)
    resize(stream, columns, rows=2)
    clock.now += 1
    train(board, 0, 4)
    board.headline = "best"
    console.news()
    screen.feed(written(ours, stream))
    assert len(screen.lines) == 1


# Plain lines --------------------------------------------------------------------------------------


def test_plain_lines_are_spaced() -> None:
    board, clock = board_of(4000)
    stream = io.StringIO()
    console = Plain(stream, board)
    for number in range(3000):  # two trials a second, for 1,500 seconds
        train(board, number)
        console.news()
        clock.now += 0.5
        board.end(number, has_failed=False)
        console.news()
    assert len(stream.getvalue().splitlines()) == 1 + 1500 // 10
    train(board, 3000)
    before = len(stream.getvalue().splitlines())
    for _ in range(600):  # a trial that takes ten minutes
        clock.now += 1
        console.news()
    # One for the trials that had ended, then one a minute.
    assert len(stream.getvalue().splitlines()) - before in (10, 11)
    board.end(3000, has_failed=True)
    console.close()
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("digits: 3001/4000 trials, 1 failed, ")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", stream.getvalue())
