"""Pictures as others save them: pages, copies of other sizes, masks, and how a camera was held."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from PIL import Image

from cratermill.core.errors import InputError
from cratermill.core.pictures import opened
from cratermill.core.room import said_when_full

PIXELS = np.arange(600, dtype=np.uint8).reshape(20, 30)


def saved(form: str, **options) -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, form, **options)
    return content.getvalue()


def turned(how: int) -> bytes:
    exif = Image.Exif()
    exif[274] = how
    return saved("PNG", exif=exif)


def geotiff(tmp_path, mask: bool) -> bytes:
    """With a mask inside and overviews: further pages that are no pictures of their own."""
    place = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "x.tif", "w", **place) as file:
        file.write(PIXELS, 1)
        if mask:
            file.write_mask(np.full(PIXELS.shape, 255, np.uint8))
        file.build_overviews([2])
    return (tmp_path / "x.tif").read_bytes()


@pytest.mark.parametrize("how", [1, 3, 6, 8])
def test_a_camera_that_was_turned_makes_no_other_picture(how):
    wanted = {1: PIXELS, 3: PIXELS[::-1, ::-1], 6: np.rot90(PIXELS, -1), 8: np.rot90(PIXELS)}[how]
    with opened(turned(how), "x.png") as picture:
        assert (picture.height, picture.width) == wanted.shape
        np.testing.assert_array_equal(np.asarray(picture), wanted)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_overviews_and_masks_are_no_pages(tmp_path, mask):
    with opened(geotiff(tmp_path, mask), "x.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_pages_of_which_only_one_would_be_seen_are_refused():
    stack = saved("TIFF", save_all=True, append_images=[Image.fromarray(PIXELS + 1)] * 2)
    with pytest.raises(InputError, match="x.tif holds several pages"), opened(stack, "x.tif"):
        pass


@pytest.mark.parametrize(("number", "said", "step"), [(27, "larger than files may be here", "ulimit"), (28, "No space left", "free")])
def test_a_limit_of_files_is_not_called_a_full_disk(number, said, step):
    with pytest.raises(Exception, match=said) as error, said_when_full("the samples"):
        raise OSError(number, "refused", "a.npy")
    assert step in error.value.next_step and "a.npy" in str(error.value)
