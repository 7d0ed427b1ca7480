"""Pages: escaped, sortable, and within one file."""

import numpy as np
import pandas as pd
from PIL import Image

from cratermill.report import html


def test_tables_escape_text_and_keep_exact_values_for_sorting():
    frame = pd.DataFrame({"FID": [3, 12], "area_km2": [123456.789, np.nan], "note": ["<b>", None]})
    text = html.table(frame, {3: "#ff0000", 12: "#00ff00"})
    assert "&lt;b&gt;" in text and "<b>" not in text and 'data-order="123456.789">123,457' in text
    assert "ground of the crater&#x27;s ejecta [km²]" in text and "What the columns mean" not in html.table(frame[["FID"]])
    assert text.count("swatch") == 2 and "#ff0000" in text and '<td data-order=""></td>' in text


def test_long_tables_are_cut_and_say_so():
    text = html.table(pd.DataFrame({"a": range(30)}), most_rows=10)
    assert text.count("<tr>") == 11 and "20 more rows" in text


def test_only_files_that_exist_are_linked(tmp_path):
    (tmp_path / "a b.csv").write_text("")
    text = html.files(tmp_path, {"a b.csv": "there", "c.csv": "not there"})
    assert "a b.csv" in text and "c.csv" not in text.replace("a b.csv", "")


def test_a_page_is_one_document():
    text = html.page("A & B", [html.section("One", html.paragraph("x < y"), html.facts({"k": 1}))])
    assert text.startswith("<!doctype html>") and "<title>A &amp; B</title>" in text and "x &lt; y" in text


def test_pictures_of_panels_side_by_side_keep_a_width_at_which_they_can_be_read(tmp_path):
    for width, broad in ((300, True), (200, False)):
        Image.new("RGB", (width, 100)).save(tmp_path / "a.png")
        shown = html.picture(tmp_path / "a.png", "What <it> shows")
        assert ('class="broad"' in shown and 'tabindex="0"' in shown) == broad and "<figcaption>What &lt;it&gt; shows</figcaption>" in shown
