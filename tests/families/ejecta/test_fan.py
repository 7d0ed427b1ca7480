"""One stream, several consumers; failures reach everybody."""

import threading

import pytest

from cratermill.families.ejecta.fan import DEPTH, fan_out


def test_every_consumer_gets_everything_in_order():
    assert fan_out(iter(range(50)), [list, sum, lambda found: max(found)]) == [list(range(50)), 1225, 49]


def test_the_stream_waits_for_the_slowest_consumer():
    made, gate, most = [], threading.Event(), []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    def slow(found):
        for number in found:
            most.append(len(made) - number)
            gate.wait(0.01)

    fan_out(items(), [list, slow])
    assert max(most) <= DEPTH + 3


def test_a_failing_consumer_ends_the_others():
    ended = []

    def broken(found):
        next(found)
        raise ValueError("disk full")

    def other(found):
        try:
            return list(found)
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    with pytest.raises(ValueError, match="disk full"):
        fan_out(iter(range(1000)), [other, broken])
    assert ended == ["_Broken"]


def test_a_failing_stream_ends_all_consumers():
    def items():
        yield 1
        raise KeyError("unreadable")

    finished = []
    with pytest.raises(KeyError, match="unreadable"):
        fan_out(items(), [lambda found: finished.append(list(found))])
    assert finished == []
