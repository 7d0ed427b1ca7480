"""Colours: those of a file and their place on maps, and whether the colour-blind tell apart what pages tell apart by colour alone."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from skimage.color import rgb2lab

from cratermill.core.errors import InputError
from cratermill.report import palette, style
from cratermill.report.palette import Colours, by_fid, channels, read_colours

# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009,
# table 1, severity 1.0; applied to linear RGB.
SEEN = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TOLD_APART = 10.0
"""Difference in CIELAB (ΔE of 1976) from which neighbouring marks are told apart at a glance; 2.3 is just noticeable."""


def seen(colours, kind):
    """sRGB (N, 3) from 0 to 1 as somebody with this deficiency sees it, in CIELAB."""
    shares = np.asarray(colours, float)
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    linear = linear @ np.eye(3) if kind == "usual" else linear @ np.array(SEEN[kind]).T
    linear = linear.clip(0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055))


def least_difference(colours, kind):
    lab = seen([[channel / 255 for channel in channels(one)] for one in colours], kind)
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(lab, 2))


@pytest.mark.parametrize("kind", ["usual", *SEEN])
@pytest.mark.parametrize(
    "colours",
    [
        (palette.FOUND, palette.NEW, palette.MISSED, palette.OTHER),
        (*palette.CLUSTERS, palette.NO_CLUSTER),
        style.SAFE,
        (style.BLANKET, style.RAYS),
        (style.ANALYSED, style.DISCARDED),
        (style.RAYS, style.INK),
        (style.TRUTH, style.BLANKET),
        (palette.BOTH, palette.ONLY_MAP, palette.ONLY_TRUTH, palette.DIFFERENT),
    ],
    ids=["crater maps", "clusters", "curves", "patterns", "histogram", "scores", "comparisons", "map and truth"],
)
def test_the_colour_blind_tell_apart_what_colour_alone_tells(colours, kind):
    assert least_difference(colours, kind) > TOLD_APART


@pytest.mark.parametrize("kind", ["usual", *SEEN])
def test_ramps_rise_in_lightness_for_everybody(kind):
    stops = np.array(palette.CIVIDIS) / 255
    ours = np.column_stack([np.interp(np.linspace(0, 1, 64), [0, 0.5, 1], channel) for channel in stops.T])
    for colours in (ours, colormaps["cividis"](np.linspace(0, 1, 64))[:, :3]):
        assert (np.diff(seen(colours, kind)[:, 0]) > 0).all()


def test_a_palette_of_red_and_green_would_be_noticed():
    assert least_difference(("#d62728", "#2ca02c"), "usual") > 5 * TOLD_APART > 5 * least_difference(("#a00000", "#4a5a00"), "deutan")


def test_ejmaps_list_and_lines_of_fids_are_read_and_come_back_from_a_map(tmp_path):
    (tmp_path / "colorlist.txt").write_text("red\nblue\ngreen\n")
    listed = read_colours(tmp_path / "colorlist.txt")
    assert [listed.hex(fid) for fid in (0, 1, 3, 5)] == ["#ff0000", "#0000ff", "#ff0000", "#008000"]
    (tmp_path / "mine.csv").write_text("crat_FID,colour\n7,#123456\n12,orange\n")
    mine = read_colours(tmp_path / "mine.csv")
    assert mine.rgb(7) == (0x12, 0x34, 0x56) and mine.hex(12) == "#ffa500" and mine.hex(8) == Colours().hex(8) == by_fid(8)
    assert mine.of(pd.Series([12])) == {12: "#ffa500"}


@pytest.mark.parametrize(
    ("content", "said"), [("red\nreddish\n", "line 2: reddish is no colour"), ("7 8 9\n", "line 1: 7 8 9"), ("\n", "names no colour")]
)
def test_what_is_no_colour_is_named(tmp_path, content, said):
    (tmp_path / "c.txt").write_text(content)
    with pytest.raises(InputError, match=said):
        read_colours(tmp_path / "c.txt")
    with pytest.raises(InputError, match="can't be read"):
        read_colours(tmp_path / "missing.txt")
