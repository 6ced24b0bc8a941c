"""The demo slide: a real pyramid, painted block by block without seams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.geometry import Box, Size
from tiler.masks import OtsuMask
from tiler.readers import OpenSlideReader
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


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("demo") / "demo.svs")


def test_openslide_opens_it_as_a_pyramid_with_its_scale(slide: Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        assert opened.properties["openslide.vendor"] == "aperio"
        assert float(opened.properties["openslide.mpp-x"]) == 0.25
        assert float(opened.properties["openslide.objective-power"]) == 40
        assert opened.dimensions == SIZE
        assert opened.level_downsamples == (1.0, 4.0, 16.0)


def test_its_tissue_its_glass_and_its_pen_are_where_they_belong(slide: Path) -> None:
    with OpenSlideReader(slide) as reader:
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


def test_a_slide_of_another_painter_is_drawn_again(
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
