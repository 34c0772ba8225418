"""When garbage is collected: not while a study starts, and after that among new objects only."""

import subprocess
import sys
from pathlib import Path

import pytest

IN_A_PROCESS_OF_ITS_OWN = """if True:
    import gc
    from harness.garbage import quick_collection, quick_start, started

    looks = []
    gc.callbacks.append(lambda phase, about: looks.append(about["generation"]))

    def many():
        return [[] for _ in range(200_000)]

"""


def _run(code: str) -> list[str]:
    code = IN_A_PROCESS_OF_ITS_OWN + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.stdout.split()


def test_nothing_is_looked_at_while_a_study_starts():
    code = """
    with quick_start():
        kept = many()
        print(len(looks), gc.isenabled())
        started()
        print(gc.isenabled(), gc.get_freeze_count() > 200_000, len(gc.get_objects()) < 10_000)
        more = many()
        print(2 in looks or len(looks) > 100)
        # It is asked without counting those that are set aside.
        gc.get_freeze_count = None
        with quick_collection():
            gc.collect()
    print(gc.isenabled(), len(gc.get_objects()) > 400_000)
    """
    assert _run(code) == ["0", "False", "True", "True", "True", "True", "True", "True"]


def test_a_start_that_fails_leaves_the_collector_as_it_was():
    code = """
    try:
        with quick_start(), quick_start():
            raise KeyError
    except KeyError:
        print(gc.isenabled(), gc.get_freeze_count())
    """
    assert _run(code) == ["True", "0"]


@pytest.mark.parametrize("before", ["gc.disable()", "gc.freeze()"])
def test_what_somebody_else_has_arranged_stays(before: str):
    code = f"""
    {before}
    def now():
        return gc.isenabled(), gc.get_freeze_count() > 0
    was = now()
    with quick_start():
        assert now() == was
        started()
        assert now() == was
    with quick_collection():
        assert gc.isenabled() == was[0]
    print(now() == was)
    """
    assert _run(code) == ["True"]


def test_a_program_that_has_run_a_study_ends_without_a_last_look():
    code = """
    import atexit, weakref

    class Kept:
        pass

    kept = Kept()
    weakref.finalize(kept, print, "finalized", flush=True)
    # What was registered first is called last.
    atexit.register(lambda: print(len(gc.get_objects()), flush=True))
    with quick_start():
        started()
    more = many()
    """
    finalized, objects = sorted(_run(code), reverse=True)
    assert finalized == "finalized"
    assert int(objects) < 10_000


def test_what_was_written_into_a_file_is_there_after_the_end(tmp_path: Path):
    file = tmp_path / "log.csv"
    code = f"""
    class Log:
        def __init__(self):
            self.file = open({str(file)!r}, "w")
            self.write = self._write
        def _write(self, text):
            self.file.write(text)

    class Gone:
        pass

    import weakref
    proxies = [weakref.proxy(Gone()) for _ in range(3)]
    log = Log()
    with quick_start():
        log.write("a,b")
        started()
    """
    _run(code)
    assert file.read_text() == "a,b"


def test_what_is_thrown_away_in_a_start_does_not_stay():
    code = """
    import weakref

    class Kept:
        pass

    with quick_start():
        kept = Kept()
        kept.itself = kept
        there = weakref.ref(kept)
        del kept
        print(there() is None)
        started()
        print(there() is None)
    """
    assert _run(code) == ["False", "True"]


def test_a_copy_that_is_made_in_a_start_has_a_collector():
    code = """
    import os

    with quick_start():
        if not (child := os.fork()):
            os._exit(10 + gc.isenabled())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), gc.isenabled())
    """
    assert _run(code) == ["11", "False"]
