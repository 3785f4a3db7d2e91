"""The queue: bounded, all or nothing, and without what nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from pawprint.serve.metrics import Metrics
from pawprint.serve.pool import Pool, Wanted
from pawprint.serve.refusals import Refusal


def squares(numbers: range) -> list[Callable[[Wanted], int]]:
    return [lambda wanted, n=n: n * n for n in numbers]  # type: ignore[misc]


def test_results_come_in_the_order_of_the_work() -> None:
    pool = Pool(3, 100, Metrics(100))
    assert asyncio.run(pool.run(squares(range(50)))) == [n * n for n in range(50)]
    pool.close()


def test_work_is_taken_whole_or_not_at_all() -> None:
    held, begun = threading.Event(), threading.Event()
    done: list[int] = []

    def hold(wanted: Wanted) -> int:
        begun.set()
        held.wait()
        return 0

    async def main() -> None:
        holding = asyncio.ensure_future(pool.run([hold]))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(Refusal) as refused:
            await pool.run([lambda wanted: done.append(1) or 1] * 4)
        assert refused.value.code == "overloaded"
        three = asyncio.ensure_future(pool.run([lambda wanted: 7] * 3))
        await asyncio.sleep(0)
        with pytest.raises(Refusal):
            pool.reserve()
        held.set()
        assert await three == [7, 7, 7]
        assert await holding == [0]

    pool = Pool(1, 3, Metrics(3))
    asyncio.run(main())
    assert done == []
    pool.close()


def test_what_is_cancelled_is_not_done_or_told_that_it_is_not_wanted() -> None:
    held, begun = threading.Event(), threading.Event()
    wanted_after: list[bool] = []
    done: list[int] = []

    def hold(wanted: Wanted) -> int:
        begun.set()
        held.wait()
        wanted_after.append(wanted())
        return 0

    async def main() -> None:
        running = asyncio.ensure_future(pool.run([hold, lambda wanted: done.append(1) or 1]))
        await asyncio.to_thread(begun.wait)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        held.set()
        assert await pool.run([lambda wanted: 3]) == [3]

    pool = Pool(1, 10, Metrics(10))
    asyncio.run(main())
    assert (done, wanted_after) == ([], [False])
    pool.close()


def test_an_error_in_one_piece_is_told_and_the_threads_go_on() -> None:
    def broken(wanted: Wanted) -> int:
        raise ZeroDivisionError("on purpose")

    async def main() -> None:
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            await pool.run([*squares(range(3)), broken])
        assert await pool.run(squares(range(3))) == [0, 1, 4]

    pool = Pool(2, 10, Metrics(10))
    asyncio.run(main())
    pool.close()


def test_a_place_is_kept_until_it_is_given_up_or_a_second_has_gone() -> None:
    async def main() -> None:
        one, two = pool.reserve(), pool.reserve()
        with pytest.raises(Refusal):
            pool.reserve()
        with pytest.raises(Refusal):
            await pool.run(squares(range(1)))
        one.free()
        one.free()
        assert await pool.run(squares(range(1))) == [0]
        pool.reserve()
        await asyncio.sleep(1.1)
        two.free()
        assert await pool.run(squares(range(2))) == [0, 1]

    pool = Pool(1, 1, Metrics(1))  # one may wait, and one goes to the idle thread
    asyncio.run(main())
    pool.close()
