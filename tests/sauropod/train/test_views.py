"""Drawn views: inside the image, in range, as often as written, and never enlarged by a draft."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.train import views
from sauropod.train.config import Crops
from sauropod.train.randomness import Purpose, keyed
from sauropod.train.views import View, scaled, shrink_factor


def draws(*, width: int, height: int, count: int, crops: Crops) -> list[tuple[View, ...]]:
    return [
        views.draw(
            keyed(5, purpose=Purpose.VIEWS, counter=i), width=width, height=height, crops=crops
        )
        for i in range(count)
    ]


class TestDraw:
    @settings(max_examples=50, deadline=None)
    @given(
        width=st.integers(1, 300),
        height=st.integers(1, 300),
        seed=st.integers(0, 2**62),
        low=st.floats(0.05, 0.5),
    )
    def test_boxes_lie_inside(self, width: int, height: int, seed: int, low: float) -> None:
        crops = Crops(global_scale=(low, 1.0), num_local=3)
        generator = keyed(seed, purpose=Purpose.VIEWS, counter=0)
        for view in views.draw(generator, width=width, height=height, crops=crops):
            left, top, right, bottom = view.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height

    def test_area_and_aspect_stay_in_range(self) -> None:
        drawn = draws(width=400, height=400, count=200, crops=Crops(num_local=1))
        for i, (low, high) in enumerate([(0.32, 1.0), (0.32, 1.0), (0.05, 0.32)]):
            boxes = np.array([own[i].box for own in drawn])
            sides = boxes[:, 2:] - boxes[:, :2]
            share = sides.prod(1) / 400**2
            assert low * 0.98 < share.min()
            assert share.max() < high * 1.02
            aspect = sides[:, 0] / sides[:, 1]
            assert 0.74 < aspect.min() < 0.85
            assert 1.18 < aspect.max() < 1.35

    def test_long_image_falls_back_to_its_centre(self) -> None:
        crops = Crops(global_scale=(0.9, 1.0), num_local=0)
        for drawn in draws(width=1000, height=10, count=3, crops=crops):
            assert drawn[0].box == (493, 0, 506, 10)

    @pytest.mark.parametrize(
        ("mode", "expected"), [("released", (0.0, 0.9, 0.5)), ("paper", (1.0, 0.1, 0.5))]
    )
    def test_probabilities(self, mode: str, expected: tuple[float, ...]) -> None:
        crops = Crops(num_local=1, blur_mode=mode)
        drawn = draws(width=64, height=64, count=1000, crops=crops)
        for i, blur in enumerate(expected):
            kind = [own[i] for own in drawn]

            def share(flags: list[bool]) -> float:
                return float(np.mean(flags))

            assert share([view.blur_sigma > 0 for view in kind]) == pytest.approx(blur, abs=0.05)
            assert share([view.flip for view in kind]) == pytest.approx(0.5, abs=0.05)
            assert share([view.gray for view in kind]) == pytest.approx(0.2, abs=0.05)
            solarized = 0.2 if i == 1 else 0.0
            assert share([view.solarize for view in kind]) == pytest.approx(solarized, abs=0.05)
            jitters = [view.jitter for view in kind if view.jitter]
            assert len(jitters) / 1000 == pytest.approx(0.8, abs=0.05)
            assert len({jitter.order for jitter in jitters}) == 24
            for name, reach in {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2}.items():
                values = [getattr(jitter, name) for jitter in jitters]
                assert 1 - reach <= min(values) < 1 - 0.95 * reach
                assert 1 + 0.95 * reach < max(values) <= 1 + reach

    def test_colours_stay_as_they_are_on_request(self) -> None:
        drawn = draws(width=64, height=64, count=50, crops=Crops(jitter=0.0, gray=0.0))
        views = [view for own in drawn for view in own]
        assert not any(view.jitter or view.gray for view in views)
        default = draws(width=64, height=64, count=50, crops=Crops())
        assert [view.box for own in default for view in own] == [view.box for view in views]

    def test_same_key_same_views_whatever_the_size_of_others(self) -> None:
        one, two = (draws(width=64, height=64, count=2, crops=Crops()) for _ in range(2))
        assert one == two
        assert one[0] != one[1]


class TestDraft:
    @settings(max_examples=100, deadline=None)
    @given(
        width=st.integers(8, 4000),
        height=st.integers(8, 4000),
        seed=st.integers(0, 2**62),
        num_local=st.integers(0, 3),
    )
    def test_no_view_is_enlarged_and_every_box_lies_inside(
        self, width: int, height: int, seed: int, num_local: int
    ) -> None:
        crops = Crops(num_local=num_local)
        generator = keyed(seed, purpose=Purpose.VIEWS, counter=0)
        drawn = views.draw(generator, width=width, height=height, crops=crops)
        factor = shrink_factor(drawn, size=(width, height))
        to = (-(-width // factor), -(-height // factor))
        for before, after in zip(drawn, scaled(drawn, size=(width, height), to=to), strict=True):
            left, top, right, bottom = after.box
            assert 0 <= left < right <= to[0]
            assert 0 <= top < bottom <= to[1]
            assert factor == 1 or min(right - left, bottom - top) >= after.size
            assert np.abs(np.array(before.box) / factor - after.box).max() <= 1.5
            assert after._replace(box=before.box) == before
        if factor == 1:
            sides = [min(v.box[2] - v.box[0], v.box[3] - v.box[1]) / v.size for v in drawn]
            assert min(sides) < 2 + 1 / 98  # to half the size some view would be enlarged

    @settings(max_examples=30, deadline=None)
    @given(
        size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
        to=st.tuples(st.integers(1, 900), st.integers(1, 900)),
        seed=st.integers(0, 99),
    )
    def test_boxes_stay_boxes_in_an_image_of_any_size(
        self, size: tuple[int, int], to: tuple[int, int], seed: int
    ) -> None:
        generator = keyed(seed, purpose=Purpose.VIEWS, counter=0)
        drawn = views.draw(generator, width=size[0], height=size[1], crops=Crops(num_local=4))
        assert scaled(drawn, size=size, to=size) == drawn
        for view in scaled(drawn, size=size, to=to):
            left, top, right, bottom = view.box
            assert 0 <= left < right <= to[0]
            assert 0 <= top < bottom <= to[1]

    def test_large_photographs_are_decoded_smaller(self) -> None:
        (own,) = draws(width=4000, height=3000, count=1, crops=Crops())
        assert shrink_factor(own, size=(4000, 3000)) in (4, 8)
        (own,) = draws(width=200, height=150, count=1, crops=Crops())
        assert shrink_factor(own, size=(200, 150)) == 1
