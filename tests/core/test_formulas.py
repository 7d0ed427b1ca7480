"""Formulas: what numexpr computes is what NumPy does, and nothing but formulas is computed."""

from __future__ import annotations

import numpy as np
import pytest

from cratermill.core.errors import InputError
from cratermill.core.formulas import NUMBER, TEXT, TRUTH, parse_formula

B = {"b1": np.array([1, 200, 0, 255], np.uint8), "b3": np.array([2, 3, 0, 5], np.uint8)}
B1, B3 = B["b1"].astype(float), B["b3"].astype(float)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("b1 / b3", B1 / np.where(B3, B3, np.nan)),
        ("b1 ** 2 - b3 * b1", B1**2 - B3 * B1),
        ("where(b1 > 1 and not b3 == 0, b1 / b3, -1)", np.where((B1 > 1) & (B3 != 0), B1 / np.where(B3, B3, 1), -1)),
        ("-b1 % 3 + sqrt(abs(b3 - b1))", -B1 % 3 + np.sqrt(np.abs(B3 - B1))),
        ("arctan2(b1, b3 + 1)", np.arctan2(B1, B3 + 1)),
    ],
)
def test_numbers_are_those_of_numpy(text, expected):
    found = parse_formula(text, list(B), "bands", NUMBER)(B)
    np.testing.assert_allclose(np.where(np.isfinite(found), found, np.nan), expected, rtol=1e-12)


def test_conditions_chain_and_compare_texts():
    kinds = {"radius": NUMBER, "state": TEXT}
    values = {"radius": np.array([1.0, 2, 3, 4]), "state": np.array(["old", "fresh", "old", None], object)}
    found = parse_formula('1 < radius <= 3 and state != "fresh" or radius > 3', kinds, "craters", TRUTH)(values)
    assert found.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "text, said",
    [
        ("__import__('os').system('true')", "isn't understood"),
        ("b1.__class__", "isn't understood"),
        ("b1[0]", "isn't understood"),
        ("(lambda: 1)()", "isn't understood"),
        ("b1 if b1 else b3", "isn't understood"),
        ("b1 // b3", "isn't understood"),
        ("eval(b1)", "calls eval"),
        ("b2 / b1", "names b2"),
        ("sqrt(b1, b3)", "argument"),
        ("b1 and b3", "where true or false is wanted"),
        ("(b1 > 1) + 1", "where a number is wanted"),
        ("b1 > 1", "gives true or false"),
        ("'b1'", "gives a text"),
        ("2 + 2", "names nothing"),
        ("b1 +", "can't be read"),
        ("b1\0", "can't be read"),
        ("", "can't be read"),
        ("(" * 250 + "b1" + ")" * 250, "can't be read"),
        ("b1 + 1e999", "has inf"),
        ("b1 * 9**9**9**9", "can't be computed"),
        ("b1 / 0", "can't be computed"),
        ("+".join(["b1"] * 400), "letters"),
        ("+".join(["b1"] * 300), "too long"),
        ("-" * 900 + "b1", "too long"),
    ],
)
def test_all_else_is_refused(text, said):
    with pytest.raises(InputError, match="bands: the formula") as refused:
        parse_formula(text, list(B), "bands", NUMBER)
    assert said in str(refused.value) and refused.value.valid
