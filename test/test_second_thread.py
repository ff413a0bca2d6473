from __future__ import annotations

from threading import Event, get_ident

import pytest

from opendr_facerot.pipelines.second_thread import SecondThread
from opendr_facerot.threads import undivided


def test_work_runs_beside_its_caller() -> None:
    second, begun, go_on = SecondThread(threads=2), Event(), Event()

    def work() -> int:
        begun.set()
        assert go_on.wait(10)
        return get_ident()

    finish = second.start(work)
    assert begun.wait(10)  # while this thread does something else
    go_on.set()
    assert finish() != get_ident()
    second.close()


def test_its_error_is_raised_where_the_result_is_asked_for() -> None:
    second = SecondThread(threads=2)

    def fail() -> None:
        raise ValueError("broken")

    finish = second.start(fail)
    with pytest.raises(ValueError, match="broken"):
        finish()
    assert second.start(lambda: 7)() == 7
    second.close()


def test_nobody_waits_for_another_caller_s_work() -> None:
    second, begun, go_on = SecondThread(threads=2), Event(), Event()

    def occupy() -> None:
        begun.set()
        assert go_on.wait(10)

    occupied = second.start(occupy)
    assert begun.wait(10)
    assert second.start(get_ident)() == get_ident()
    go_on.set()
    occupied()
    second.close()


def test_one_core_has_no_second_thread() -> None:
    assert SecondThread(threads=1).start(get_ident)() == get_ident()


def test_closing_leaves_what_has_begun_to_end() -> None:
    second, begun, go_on = SecondThread(threads=2), Event(), Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(10)
        return "done"

    finish = second.start(work)
    assert begun.wait(10)
    second.close()
    go_on.set()
    assert finish() == "done"


def test_undivided_work_stays_in_its_caller_s_thread() -> None:
    second = SecondThread(threads=2)
    with undivided():
        assert second.start(get_ident)() == get_ident()
    second.close()
