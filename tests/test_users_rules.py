"""Filters, labels and samplers of a user's own that break their protocols: one error names each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tiler import Level, TileExtractor, TileSpec
from tiler.errors import ComponentError, ConfigError
from tiler.protocols import Tiles
from tiler.samplers import Random, Spread

SPEC = TileSpec(16, resolution=Level(0))
SHAPE = (3, 4)


@dataclass
class Own:
    """Labels, a sampler or a filter, whose results are given."""

    found: dict[str, Any]
    keep: Any = None
    min: Any = None
    max: Any = None
    mpp: Any = None
    margin: Any = 0

    def shares(self, source, columns, rows):
        return self.found.get("shares", {"a": np.ones(SHAPE)})

    def assigned(self, shares):
        return self.found.get("assigned", np.full(SHAPE, "a"))

    def choose(self, tiles):
        if "raises" in self.found:
            raise self.found["raises"]
        return np.ones(len(tiles), bool)

    def notes(self, tiles):
        return self.found.get("notes", ())


@dataclass
class Maps:
    """A filter whose maps are given."""

    found: Any = None
    min: Any = None
    max: Any = None
    mpp: Any = None
    margin: Any = 0

    def maps(self, pixels):
        return self.found


@pytest.fixture
def slide(fake_reader):
    return fake_reader(np.full((48, 64, 3), 90, np.uint8), mpp=1.0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"shares": None}, "shares returned a NoneType"),
        ({"shares": {3: np.ones(SHAPE)}}, "for the class 3"),
        ({"shares": {"a": np.ones((2, 2))}}, "float64 of shape (2, 2) for the class 'a'"),
        ({"shares": {"a": np.full(SHAPE, "x")}}, "<U1 of shape (3, 4)"),
        ({"shares": {"a": np.full(SHAPE, np.nan)}}, "shares out of range for the class 'a'"),
        ({"shares": {"a": np.full(SHAPE, 2.0)}}, "shares out of range for the class 'a'"),
        ({"assigned": ["a"]}, "assigned returned <U1 of shape (1,)"),
        ({"assigned": np.ones(SHAPE, int)}, "assigned returned int64 of shape (3, 4)"),
    ],
)
def test_labels_return_shares_and_texts(slide, found, words):
    with pytest.raises(ComponentError) as refused:
        TileExtractor(SPEC, labels=Own(found)).fit_extract(slide)
    assert words in str(refused.value)
    assert "test_users_rules.Own." in str(refused.value)
    assert "\n" not in str(refused.value)


def test_whole_numbers_are_shares(slide):
    labels = Own({"shares": {"a": np.ones(SHAPE, int)}})
    extractor = TileExtractor(SPEC, labels=labels)
    assert len(extractor.fit_extract(slide)) == 12
    assert extractor.candidates_["label_a"].dtype == float


@pytest.mark.parametrize("notes", [None, "text", [3]])
def test_notes_of_a_sampler_are_texts(slide, notes):
    with pytest.raises(ComponentError, match=r"notes returned .*return a list or tuple of texts"):
        TileExtractor(SPEC, sampler=Own({"notes": notes})).fit_extract(slide)


def test_an_error_inside_a_sampler_is_not_taken_for_a_missing_column(slide):
    with pytest.raises(KeyError, match="nope"):
        TileExtractor(SPEC, sampler=Own({"raises": KeyError("nope")})).fit_extract(slide)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"own": Maps(min="x")}, "filter.own.min='x' is invalid; use a number, or null"),
        ({"own": Maps(max=np.nan)}, "filter.own.max=nan is invalid"),
        ({"own": Maps(mpp=0)}, "filter.own.mpp=0 is invalid; use a positive number, or null"),
        ({"own": Maps(mpp="a")}, "filter.own.mpp='a' is invalid"),
        ({"own": Maps(margin=-1)}, "filter.own: margin=-1 is invalid"),
        ({"own": Maps(margin=1.5)}, "filter.own: margin=1.5 is invalid"),
        ({"label": Maps()}, "filter.label: this name is reserved"),
        ({3: Maps()}, "filter.3: this name is invalid"),
    ],
)
def test_an_invalid_filter_is_named_before_a_slide_is_opened(filters, words):
    with pytest.raises(ConfigError) as refused:
        TileExtractor(SPEC, filters=filters)
    assert words in str(refused.value)


@pytest.mark.parametrize("keep", ["tumor", 3, [3]])
def test_labels_to_keep_are_a_list_of_texts(keep):
    with pytest.raises(ConfigError, match=r"label.keep=.* is invalid; use a list"):
        TileExtractor(SPEC, labels=Own({}, keep=keep))


def test_maps_that_are_none_are_the_filters_fault(slide):
    with pytest.raises(ComponentError, match=r"Maps.maps returned a NoneType; yield arrays"):
        TileExtractor(SPEC, filters={"own": Maps()}).fit_extract(slide)


def _tiles(count: int) -> Tiles:
    x, y = np.arange(count) % 50, np.arange(count) // 50
    columns = {"ratio": np.arange(count) / count, "row": y}
    return Tiles("slide", np.stack([x, y], axis=1) * 16, columns)


def test_many_small_groups_make_one_remark():
    tiles = _tiles(20_000)
    sampler = Random(n=2, by="ratio")
    assert sampler.choose(tiles).all()
    (note,) = sampler.notes(tiles)
    assert note == "sampler.n=2: 20000 values of ratio have fewer tiles"
    assert len(Random(n=51, by="row").notes(_tiles(200))) == 4


def test_spread_is_the_greedy_choice():
    """Against the definition, for lopsided places."""
    places = np.random.default_rng(3).integers(0, 900, (60, 2))
    tiles = Tiles("slide", places, {})
    first = ((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()
    chosen = [first]
    while len(chosen) < 12:
        far = ((places[:, None] - places[None, chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(far.argmax())
    assert np.flatnonzero(Spread(n=12).choose(tiles)).tolist() == sorted(chosen)
    assert Spread(n=99).choose(tiles).all()
    assert not Spread(n=0).choose(tiles).any()


class Ragged:
    """A score of cells that returns arrays of several lengths."""

    min = max = mpp = None
    calls = 0

    def score(self, pixels):
        self.calls += 1
        return np.ones(self.calls)


@dataclass
class Scribbles(Maps):
    """A filter that writes into the pixels that others see."""

    def maps(self, pixels):
        pixels[:] = 0
        return [pixels[..., 0]]


def test_a_score_of_a_cell_is_one_number(slide):
    with pytest.raises(ComponentError, match=r"Ragged.score returned a ndarray; return a number"):
        TileExtractor(SPEC, filters={"own": Ragged()}).fit_extract(slide)


def test_filters_cannot_change_the_pixels_of_others(slide):
    with pytest.raises(ValueError, match="read-only"):
        TileExtractor(SPEC, filters={"own": Scribbles()}).fit_extract(slide)
