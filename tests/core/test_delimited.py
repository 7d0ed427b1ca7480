"""One reader for all delimited text: what it takes in as it is meant, and what it refuses with the line."""

from __future__ import annotations

import pytest

from cratermill.core import notices
from cratermill.core.delimited import parse_bytes, read_cells, read_delimited, read_frame
from cratermill.core.errors import InputError
from cratermill.core.text import read_text
from cratermill.core.yaml_files import read_yaml_file

WANTED = {"name": ["La Pérouse", "b"], "lon": [1.5, -2.0], "lat": [3.0, 4.25]}
PLAIN = "name,lon,lat\nLa Pérouse,1.5,3\nb,-2,4.25\n"


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        '"sep=,"\n' + PLAIN,
        "# a list\n\n" + PLAIN.replace("\nb", "\n# the next, with commas\n\n,,\nb"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("3\n", "3,\n"),
        "name,lon,lat,\nLa Pérouse,1.5,3\nb,-2,4.25,\n",
        'name, lon, lat\n"La Pérouse", 1.5, 3\nb ,-2, 4.25',
    ],
)
def test_the_same_table_however_it_was_saved(text, coding):
    assert parse_bytes(text.encode(coding), "list.csv").frame().to_dict("list") == WANTED


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "list.csv is empty"),
        ("# only words\n", "list.csv is empty"),
        ("sep=;\n", "empty but for its sep= line"),
        ("a,b\n1,2\n1,2,3\n", r"line 3 \(row 2\) has 3 cells, the header 2: 1,2,3"),
        ("a,b\n\n1\n", r"line 3 \(row 1\) has 1 cells, the header 2"),
        ("a;b\n1,5;2,5;\n7,5;1,5;x", r"line 3 \(row 2\) has 3 cells"),
        ("a,b,a\n1,2,3\n", "has the column a 2 times"),
        ("a,b\n#7,2\n", "line 2 begins with # and has as many cells as the header"),
        ('a,b\n1,"2\n3,4\n', "can't be read from line 2 on"),
        (b"a,b\n1,\0\n", "line 2 holds a zero byte"),
        (b"a\n1\n\x81\xff", r"is not UTF-8 \(byte 0x81 in line 3\)"),
        (b"\xff\xfea\0\n", "begins like UTF-16 but is not"),
        ("a,b\n1," + "x" * 200_000, "can't be read from line 2 on"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_with_its_line(content, part):
    content = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(InputError, match=part):
        parse_bytes(content, "list.csv")


def test_thousands_are_no_decimals_and_nameless_columns_stay():
    assert parse_bytes(b"a;b\n1,234;2\n", "x").frame()["a"].tolist() == ["1,234"]
    assert parse_bytes(b",a\n0,1\n1,2\n", "x").frame().to_dict("list") == {"Unnamed: 0": [0, 1], "a": [1, 2]}
    assert list(parse_bytes(b"a,\n1,2\n3,\n", "x").rows) == [["1", "2"], ["3", ""]]
    assert parse_bytes(b"a\n1\n", "x").frame(texts=True)["a"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("row", "values", "said"),
    [
        ("12,5;30.000", [12.5, 30000.0], None),
        ("1.234,5;30.000", [1234.5, 30000.0], None),
        ("12.5;30.000", [12.5, 30.0], None),
        ("0.125;30.000", [0.125, 30.0], None),
        ("12;30.000", [12.0, 30.0], "read with a decimal point, as 30;"),
        ("12;1.234.567", [12.0, 1234567.0], None),
        ("12;1234.567", [12.0, 1234.567], None),
    ],
)
def test_points_between_thousands_are_told_from_decimal_ones_or_said(row, values, said, capsys):
    what = f"list of {row}"  # things are said once
    assert parse_bytes(f"lon;radius_m\n{row}\n".encode(), what).frame().iloc[0].tolist() == values
    err = capsys.readouterr().err
    assert (said in err and what in err) if said else not err


def test_a_decimal_point_far_below_thousands_is_refused():
    text = "lon;radius_m\n" + "1,5;30.000\n" * 1200
    assert set(parse_bytes(text.encode(), "x").frame()["radius_m"]) == {30000}
    with pytest.raises(InputError, match=r"line 1202: 12.5 has a decimal point, where 30.000 above"):
        parse_bytes(f"{text}12.5;30.000\n".encode(), "x").frame()


def test_what_was_guessed_is_said_by_every_reader(tmp_path, capsys):
    path = tmp_path / "it's a table.csv"
    for read in (read_frame, read_delimited, read_cells, read_text, read_yaml_file):
        notices._said.clear()
        path.write_bytes(b"# caf\xe9\n" if read is read_yaml_file else PLAIN.encode("cp1252"))
        read(path)
        said = capsys.readouterr().err
        assert said == f"Warning: {path}: the text is not UTF-8 and was read as Windows-1252: save it as UTF-8 if letters look wrong\n"
