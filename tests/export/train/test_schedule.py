"""The rate of learning, limits of time, and the qualities drawn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.train import schedule  # noqa: E402
from fcmrt.export.train.schedule import TrainOptions  # noqa: E402


def rates(options: TrainOptions, count: int, seconds: float) -> list[float]:
    """Rate of learning of each step, when a step takes so long."""
    return [
        schedule.learning_rate(options, i, schedule.share_done(options, i, i * seconds))
        for i in range(count)
    ]


def test_learning_rate_rises_and_falls() -> None:
    options = TrainOptions(steps=1000)
    by_step = rates(options, 1000, 0.0)
    assert by_step[0] < by_step[100] < by_step[500] == options.lr
    assert by_step[700] > by_step[800] > by_step[949]
    assert by_step[949] < 0.05 * options.lr
    assert by_step[950] > by_step[999] > 0


def test_schedule_goes_by_time_where_that_is_shorter() -> None:
    options = TrainOptions(steps=1000, minutes=1.0, warmup=10)
    slow = rates(options, 300, 0.2)  # 300 steps fill the minute
    assert slow[150] == options.lr > slow[200] > slow[280] > 0
    assert schedule.is_polish(options, schedule.share_done(options, 290, 58.0))
    assert schedule.share_done(options, 300, 60.0) == 1
    assert rates(options, 1000, 0.01) == rates(TrainOptions(steps=1000, warmup=10), 1000, 0.0)


def test_qualities_cover_the_range() -> None:
    drawn = torch.stack([schedule.draw_qualities(0, step, 8) for step in range(300)])
    assert drawn.min() == -20
    assert drawn.max() == 20
    spread = drawn.sort(1).values
    assert (spread[:, 0] <= -15).all()
    assert (spread[:, -1] >= 15).all()


def test_levels_have_qualities_around_the_pictures() -> None:
    base = torch.stack([schedule.draw_qualities(0, step, 8) for step in range(200)])
    levels = torch.stack([schedule.draw_qualities(0, step, 8, 3) for step in range(200)])
    assert levels.shape == (200, 8, 3)
    away = (levels - base[..., None]).abs()
    assert away.max() == schedule.LEVEL_SPREAD
    assert levels.min() == -20
    assert levels.max() == 20
    assert (levels != levels[..., :1]).any(-1).float().mean() > 0.9
