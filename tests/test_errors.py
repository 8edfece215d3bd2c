"""Errors of groups of tasks, as a user is told of them."""

from __future__ import annotations

import asyncio

import pytest

from monitor.errors import BrokerError, InputError, MonitorError, StoreError, ungrouped


async def fail(error: Exception) -> None:
    raise error


def test_the_first_error_of_a_group_comes_alone() -> None:
    async def work() -> None:
        with ungrouped(MonitorError):
            async with asyncio.TaskGroup() as outer:

                async def inside() -> None:
                    async with asyncio.TaskGroup() as inner:
                        inner.create_task(fail(BrokerError("refused")))

                outer.create_task(inside())

    with pytest.raises(BrokerError, match="refused") as caught:
        asyncio.run(work())
    assert isinstance(caught.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize("other", [ValueError("a mistake of ours"), StoreError("full", kind="disk", retryable=False)])
def test_a_group_with_other_errors_stays_whole(other: Exception) -> None:
    group = ExceptionGroup("tasks", [BrokerError("refused"), other])
    with pytest.raises(ExceptionGroup) as caught, ungrouped(BrokerError, InputError):
        raise group
    assert caught.value is group


def test_an_error_alone_is_left_as_it_is() -> None:
    error = InputError("row 7")
    with pytest.raises(InputError) as caught, ungrouped(BrokerError):
        raise error
    assert caught.value is error
    assert error.__cause__ is None
