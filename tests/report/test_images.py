"""Names of users in pictures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from cratermill.report.images import literal, save_figure


@pytest.mark.parametrize("name", ["a $1 and $2", "$", "$x_{$", r"C:\$new$", "100 % $^$ {}"])
def test_dollars_in_names_are_drawn_as_they_are(tmp_path, name):
    figure = Figure(figsize=(2, 1))
    text = figure.text(0.1, 0.5, literal(name))
    shown, is_formula = text._preprocess_math(literal(name))
    assert (shown, is_formula) == (name, False)
    assert save_figure(figure, tmp_path / "x.png", dpi=50).exists()
