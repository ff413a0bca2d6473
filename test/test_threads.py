from __future__ import annotations

import os
import sys
from threading import Barrier, Thread, get_native_id

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from opendr_facerot.threads import (
    is_undivided,
    single_threaded_blas,
    stand_back,
    thread_count,
    undivided,
)


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {c.num_threads for c in ThreadpoolController().select(user_api="blas").lib_controllers}


def test_one_blas_thread_within_and_the_old_number_after() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        with single_threaded_blas(), single_threaded_blas():
            assert blas_threads() == {1}
        assert blas_threads() == before


def test_the_limit_lasts_until_the_last_thread_leaves() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before, inside, leave = blas_threads(), Barrier(2), Barrier(2)

        def stay() -> None:
            with single_threaded_blas():
                inside.wait(10)
                leave.wait(10)

        other = Thread(target=stay)
        other.start()
        with single_threaded_blas():
            inside.wait(10)
        assert blas_threads() == {1}
        leave.wait(10)
        other.join(10)
        assert blas_threads() == before


def test_an_error_lifts_the_limit() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        with pytest.raises(ValueError, match="broken"), single_threaded_blas():
            raise ValueError("broken")
        assert blas_threads() == before


def test_at_least_one_thread() -> None:
    assert thread_count() >= 1


def test_undivided_work_is_that_of_the_thread_that_says_so() -> None:
    before, others = thread_count(), list[int]()
    with undivided():
        with undivided():
            pass
        assert is_undivided()
        assert thread_count() == 1
        other = Thread(target=lambda: others.append(thread_count()))
        other.start()
        other.join(10)
    assert others == [before]
    assert not is_undivided()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_standing_back_is_a_matter_of_one_thread() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, get_native_id())

    before, after = niceness(), list[int]()

    def stand_back_twice() -> None:
        for _ in range(2):
            stand_back()
            after.append(niceness())

    other = Thread(target=stand_back_twice)
    other.start()
    other.join(10)
    assert after == [min(before + 10, 19), 19]
    assert niceness() == before
