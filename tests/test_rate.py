"""Rate control's tables and searches."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec import validation
from dsncodec.errors import SettingError
from dsncodec.methods.dsn import codec as dsn
from dsncodec.methods.dsn.bitstream import Point, between, explicit_point, point_of_quality, table
from dsncodec.methods.rate_control import Exact, Target, _largest_within, _last_true, _Search, search
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry


def test_quality_runs_through_the_table() -> None:
    points = table()
    indexes = [points.index(point_of_quality(quality)) for quality in range(101)]
    assert indexes[0] == 0 and indexes[-1] == len(points) - 1
    assert all(low <= high for low, high in zip(indexes, indexes[1:]))
    assert {points[i].scale for i in indexes} == {2, 3, 4}


def test_quality_is_about_the_score() -> None:
    scores = [row[3] for row in registry.quality_table()]
    assert scores == sorted(scores)
    for i, score in enumerate(scores):
        if 0 < score < 100:
            found = table().index(point_of_quality(round(score)))
            assert abs(scores[found] - round(score)) <= abs(score - round(score)), i


def test_the_table_holds_points_that_can_be_coded() -> None:
    points = table()
    assert len(points) == len(set(points)) > 1
    for point in points:
        assert explicit_point(point.scale, point.levels, point.chroma_levels) == point
    scales = [point.scale for point in points]
    assert scales == sorted(scales, reverse=True)


def test_explicit_point_defaults() -> None:
    assert explicit_point(None, None, None) == Point(3, 256, 256)
    assert explicit_point(2, 64, None) == Point(2, 64, 64)
    assert explicit_point(None, 64, 16) == Point(3, 64, 16)
    with pytest.raises(SettingError, match="2, 3, 4"):
        explicit_point(5, None, None)
    assert registry.scales() == [2, 3, 4]


@given(count=st.integers(0, 40), data=st.data())
def testlast_true_finds_the_edge(count: int, data: st.DataObject) -> None:
    edge = data.draw(st.integers(0, count))
    asked: list[int] = []

    def test(index: int) -> bool:
        assert 0 <= index < count
        asked.append(index)
        return index < edge

    assert _last_true(count, test) == edge - 1
    assert len(asked) == len(set(asked)) <= count.bit_length()


@given(
    low=st.integers(2, 256),
    high=st.integers(2, 256),
    chroma=st.tuples(st.integers(2, 256), st.integers(2, 256)),
)
def test_points_between(low: int, high: int, chroma: tuple[int, int]) -> None:
    low, high = min(low, high), max(low, high)
    first, last = Point(3, low, min(chroma)), Point(3, high, max(chroma))
    finer = between(first, last)
    assert [p.levels for p in finer] == list(range(low + 1, high))
    chroma_levels = [first.chroma_levels, *(p.chroma_levels for p in finer), last.chroma_levels]
    assert chroma_levels == sorted(chroma_levels)


@given(target=st.integers(1, 400))
def test_largest_within_uses_the_room_there_is(target: int) -> None:
    """With files as long as their levels, the file is as long as it may be, up to the table's end."""

    class Coder:  # as far as it is asked
        points = (Point(4, 16, 16), Point(4, 64, 64), Point(3, 64, 64), Point(3, 256, 256))
        between = staticmethod(partial(dsn.Encoder.between, None))
        uneven = False

    length = {4: 0, 3: 60}

    def pack(point: Point) -> bytes:
        return bytes(point.levels + length[point.scale])

    if target < 16:
        with pytest.raises(SettingError, match="16 bytes"):
            _largest_within(_Search(Coder(), pack), target)  # type: ignore[arg-type]
        return
    best = len(_largest_within(_Search(Coder(), pack), target))  # type: ignore[arg-type]
    assert best <= target
    expected = min(target, 316) if target >= 124 else min(target, 64)
    assert best == expected


class Uneven:
    """A picture of one pixel whose bytes and distances are given, as of a flat one."""

    uneven, seen = True, None
    colour = np.full((1, 1, 1), 255, np.uint8)

    def __init__(self, sizes: list[int], distances: list[int]) -> None:
        self.sizes, self.distances = sizes, distances
        self.points = range(len(sizes))

    def point_of_quality(self, quality: int) -> int:
        return quality * (len(self.points) - 1) // 100

    def between(self, low: int, high: int) -> list[int]:
        return []

    def size(self, point: int) -> int:
        return self.sizes[point]

    def distance(self, point: int) -> float:
        return self.distances[point]

    def reconstruct(self, point: int) -> np.ndarray:
        return np.full((1, 1, 1), 255 - self.distances[point], np.uint8)

    def pack(self, point: int) -> bytes:
        return bytes([point]) * self.sizes[point]


@given(data=st.data(), count=st.integers(2, 40))
def test_of_uneven_files_the_best_one_tried_wins(data: st.DataObject, count: int) -> None:
    """Sizes and distances that jump: a target is met wherever it can be, and by no file that another one tried beats."""
    sizes = data.draw(st.lists(st.integers(1, 90), min_size=count, max_size=count))
    distances = data.draw(st.lists(st.integers(1, 250), min_size=count, max_size=count))
    ladder = Uneven(sizes, distances)
    limit = data.draw(st.integers(min(sizes[0], sizes[-1]), 100))
    found = search(ladder, Target(max_bytes=limit), ladder.pack)
    assert len(found) <= limit
    for end in (0, count - 1):
        assert (
            len(ladder.pack(end)) > limit
            or found[0] == end
            or sizes[end] <= sizes[found[0]]
            or (distances[found[0]] <= distances[end])
        )
    wanted_db = psnr_db(ladder.colour, ladder.reconstruct(count - 1))
    found = search(ladder, Target(psnr_db=wanted_db), ladder.pack)
    assert distances[found[0]] <= distances[count - 1] and len(found) <= sizes[-1]


@given(data=st.data(), exact=st.integers(1, 100))
def test_the_file_without_loss_is_taken_where_it_is_no_larger(data: st.DataObject, exact: int) -> None:
    sizes = sorted(data.draw(st.lists(st.integers(1, 90), min_size=9, max_size=9)))
    ladder = Uneven(sizes, list(range(90, 0, -10)))
    whole = bytes([99]) * exact
    option = Exact(lambda limit: whole if exact <= limit else None, lambda: whole)
    for quality in range(0, 101, 10):
        found = search(ladder, Target(quality=quality), ladder.pack, option)
        assert (found == whole) == (exact <= sizes[ladder.point_of_quality(quality)])
    assert search(ladder, Target(psnr_db=80), ladder.pack, option) == whole
    with pytest.raises(SettingError, match="the best of this picture is"):
        search(ladder, Target(psnr_db=80), ladder.pack)
    for limit in range(sizes[0], 100, 7):
        found = search(ladder, Target(max_bytes=limit), ladder.pack, option)
        assert (found == whole) == (exact <= limit)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True, None, "7", 1j])
def test_positive(value: object) -> None:
    with pytest.raises(SettingError, match=r"budget must be a positive number"):
        validation.positive("budget", value)  # type: ignore[arg-type]
    assert validation.positive("budget", 7) == 7.0
