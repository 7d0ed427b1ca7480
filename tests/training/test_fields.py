"""What a cell may hold."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from cratermill.training.fields import bounds, flag, integer, integers, literal, number, numbers


@pytest.mark.parametrize(
    ("read", "cell", "value"),
    [
        (flag, "True", True),
        (flag, "FALSE", False),
        (flag, " true ", True),
        (flag, False, False),
        (integer, "10", 10),
        (integer, "10.0", 10),
        (integer, "-3", -3),
        (integer, 4.0, 4),
        (number, "1e-06", 1e-6),
        (number, ".5", 0.5),
        (number, "3", 3.0),
        (number, 2, 2.0),
        (integers, "[0]", [0]),
        (integers, "[1, 2, 3]", [1, 2, 3]),
        (integers, "7", [7]),
        (integers, "(4,)", [4]),
        (integers, [0, 1], [0, 1]),
        (bounds, "(2,5)", [2.0, 5.0]),
        (bounds, "[0, 1.5]", [0.0, 1.5]),
        (bounds, [2, 3], [2.0, 3.0]),
        (numbers, "(0.9, 0.999)", [0.9, 0.999]),
        (numbers, "[64, 32]", [64, 32]),
        (literal, "True", True),
        (literal, "3", 3),
        (literal, "0.5", 0.5),
        (literal, "[1, 2]", [1, 2]),
        (literal, "scse", "scse"),
    ],
)
def test_sound_cells(read, cell, value):
    assert read(cell) == value
    assert type(read(cell)) is type(value)


@pytest.mark.parametrize(
    ("read", "cell"),
    [
        (flag, "Trgediue"),
        (flag, "1"),
        (flag, "yes"),
        (flag, 1),
        (integer, "1.5"),
        (integer, "1e3"),
        (integer, "1_000"),
        (integer, "ten"),
        (integer, True),
        (integer, "nan"),
        (number, "nan"),
        (number, "inf"),
        (number, "-Infinity"),
        (number, "1e999"),
        (number, "0,1"),
        (number, "1_0"),
        (number, True),
        (number, float("nan")),
        (integers, "[]"),
        (integers, "[1, 1]"),
        (integers, "[-1]"),
        (integers, "[1, two]"),
        (integers, "[1, 2)"),
        (integers, "[1 2]"),
        (integers, "range(3)"),
        (integers, "[[1], [2]]"),
        (bounds, "(5,2)"),
        (bounds, "(2,)"),
        (bounds, "(2,3,4)"),
        (bounds, "(-1,2)"),
        (bounds, "__import__('os').getcwd()"),
    ],
)
def test_refused_cells(read, cell):
    with pytest.raises(PydanticCustomError) as caught:
        read(cell)
    assert caught.value.type == "cell"
    assert caught.value.context["reason"].startswith("is ")
    assert caught.value.context["valid"]


def test_a_blank_number_is_told_from_nan():
    with pytest.raises(PydanticCustomError) as caught:
        number("nan")
    assert "left blank" in caught.value.context["valid"]
