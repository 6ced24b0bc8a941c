"""The demo slide: a real pyramid, painted block by block without seams."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.errors import ConfigError, DestinationError
from tiler.geometry import Box, Size
from tiler.masks import OtsuMask
from tiler.readers import OpenSlideReader
from tiler.slides import demo
from tiler.slides.demo import SIZE, demo_slide, write_demo_slide
from tiler.slides.painter import paint

SLIDE = Size(700, 517)
WHOLE = paint(Box(0, 0, *SLIDE), SLIDE)


@given(st.data())
def test_blocks_meet_without_seams(data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, 699)), data.draw(st.integers(0, 516))
    width, height = data.draw(st.integers(1, 700 - x)), data.draw(st.integers(1, 517 - y))
    np.testing.assert_array_equal(
        paint(Box(x, y, width, height), SLIDE), WHOLE[y : y + height, x : x + width]
    )


def test_faint_tissue_far_from_its_piece_is_there_in_small_blocks_too() -> None:
    slide, corner = Size(1063, 1391), Box(704, 128, 96, 64)  # ragged edges reach far out here
    whole = paint(corner, slide)
    assert whole[..., 1].min() < 220 < 238 < whole[..., 1].max(), "no edge of tissue here"
    for y in range(0, corner.height, 4):
        for x in range(0, corner.width, 4):
            block = paint(Box(corner.x + x, corner.y + y, 4, 4), slide)
            np.testing.assert_array_equal(block, whole[y : y + 4, x : x + 4])


def test_openslide_opens_it_as_a_pyramid_with_its_scale(demo_svs: Path) -> None:
    with openslide.OpenSlide(demo_svs) as opened:
        assert opened.properties["openslide.vendor"] == "aperio"
        assert float(opened.properties["openslide.mpp-x"]) == 0.25
        assert float(opened.properties["openslide.objective-power"]) == 40
        assert opened.dimensions == SIZE
        assert opened.level_downsamples == (1.0, 4.0, 16.0)


def test_its_tissue_its_glass_and_its_pen_are_where_they_belong(demo_svs: Path) -> None:
    with OpenSlideReader(demo_svs) as reader:
        picture = reader.thumbnail(Size(152, 112)).astype(int)
        with_pen = OtsuMask().generate(reader)
        without = OtsuMask(remove_pen=True).generate(reader)
    glass, tissue, pen = picture[5:15, 5:60], picture[60:80, 40:60], picture[3:7, 82:100]
    assert glass.std() < 3
    assert glass.mean() > 235
    assert (tissue[..., 0] - tissue[..., 1]).mean() > 40
    assert (pen[..., 1] - pen[..., 0]).mean() > 60
    rows = without.shape[0] // 9
    assert with_pen[:rows].any()
    assert not without[:rows].any()
    assert 0.2 < without.mean() < 0.5


def test_the_same_slide_every_time_and_drawn_once(tmp_path: Path) -> None:
    one, other = (write_demo_slide(tmp_path / name, Size(600, 300)) for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_slide_of_another_version_of_the_painter_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiler.slides.demo.write_demo_slide.__defaults__", (Size(600, 300), 0.25))
    (entry,) = demo_slide(str(tmp_path))
    drawn = entry.path.stat().st_mtime_ns
    demo_slide(str(tmp_path))
    assert entry.path.stat().st_mtime_ns == drawn
    entry.path.write_bytes(entry.path.read_bytes().replace(b"painter 1", b"painter 0"))
    demo_slide(str(tmp_path))
    assert b"painter 1" in entry.path.read_bytes()
    entry.path.write_bytes(entry.path.read_bytes().replace(b"painter 1\r", b"painter 12\r"))
    demo_slide(str(tmp_path))
    assert b"painter 12" not in entry.path.read_bytes()


@pytest.mark.slow
def test_level_zero_is_as_painted_and_level_one_its_average_of_four_by_four(tmp_path: Path) -> None:
    size = Size(1290, 907)  # more than is painted at once, and no multiple of a tile or of 4
    path = write_demo_slide(tmp_path / "demo.svs", size)
    grey = paint(Box(0, 0, *size), size).mean(axis=2)
    with openslide.OpenSlide(path) as opened:
        assert opened.level_dimensions == (size, (322, 226))
        whole = np.asarray(opened.read_region((0, 0), 0, size).convert("RGB")).mean(axis=2)
        level = np.asarray(opened.read_region((0, 0), 1, (322, 226)).convert("RGB")).mean(axis=2)
    for left in (0, demo._BLOCK):
        there, painted = whole[:, left:], grey[:, left:]
        assert np.std(there - painted) < 0.85 * np.std(there[:, 1:] - painted[:, :-1])
    grey = grey[:904, :1288]
    error = np.std(level - grey.reshape(226, 4, 322, 4).mean(axis=(1, 3)))
    # JPEG blurs it, but it is nearer to the average than to any one pixel of the 4 x 4.
    others = [np.std(level - grey[i::4, j::4]) for i in range(4) for j in range(4)]
    assert error < 0.85 * min(others)


def test_a_full_disk_leaves_no_partial_demo_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(box: Box, size: Size) -> np.ndarray:
        if box.y > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return paint(box, size)

    monkeypatch.setattr(demo, "paint", fill_up)
    with pytest.raises(DestinationError, match=r"ENOSPC.*demo\.svs"):
        write_demo_slide(tmp_path / "demo.svs", Size(600, 700))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_another_file_under_its_name_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "demo.svs"
    if kind == "file":
        place.write_text("my own slide")
    else:
        place.symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"demo\.svs is not a demo slide"):
        demo_slide(str(tmp_path))
    assert place.read_text() == "my own slide" if kind == "file" else place.is_symlink()
