from __future__ import annotations

import json
import re
from pathlib import Path

from tasks.evaluation.page.curves import MAX_POINTS, charts, read_metrics
from tests.tasks.evaluation.example import metric_lines


def test_loss_comes_first_and_machinery_is_left_out() -> None:
    drawn = charts(metric_lines(), best_epoch=3)
    assert len(drawn) == 2
    assert "<b>loss</b>" in drawn[0]
    assert "<b>digit · accuracy</b>" in drawn[1]
    assert not [chart for chart in drawn if "samples_per_s" in chart]


def test_training_and_validation_share_a_chart_with_a_legend() -> None:
    loss = charts(metric_lines(), None)[0]
    assert loss.count("<polyline") == 2
    assert "training" in loss
    assert "validation" in loss


def test_the_kept_epoch_is_marked_only_when_known() -> None:
    assert "kept" in charts(metric_lines(), 3)[0]
    assert "kept" not in charts(metric_lines(), None)[0]
    assert "kept" not in charts(metric_lines(), 99)[0]


def test_the_kept_epoch_is_counted_from_one() -> None:
    lines = [{"step": 10 * epoch + 10, "epoch": epoch, "val/loss": 1.0} for epoch in range(5)]
    left, right = (re.search(r'<line x1="([\d.]+)"[^>]*class="kept"', charts(lines, epoch)[0]) for epoch in (1, 5))
    assert left is not None
    assert right is not None
    assert (float(left[1]), float(right[1])) == (50, 446)


def test_the_loss_of_a_single_head_is_not_drawn_twice() -> None:
    one = [{"step": step, "epoch": 0, "val/loss": 1.0 / step, "val/digit/loss": 1.0 / step} for step in (1, 2)]
    two = [line | {"val/height/loss": 2.0} for line in one]
    assert len(charts(one, None)) == 1
    assert len(charts(two, None)) == 3


def test_values_are_under_the_pointer_and_in_a_table() -> None:
    lines = [{"step": 10, "epoch": 0, "train/loss": 0.5}, {"step": 20, "epoch": 1, "train/loss": 0.25, "val/loss": 0.75}]
    loss = charts(lines, None)[0]
    assert 'data-tip="step 20, epoch 2\ntraining 0.250\nvalidation 0.750"' in loss
    assert loss.count("<tr>") == 3


def test_long_runs_are_thinned() -> None:
    lines = [{"step": step, "epoch": step // 100, "train/loss": 1.0 / step} for step in range(1, 5001)]
    drawn = charts(lines, None)[0]
    assert drawn.count('class="band"') <= MAX_POINTS
    assert len(drawn) < 60_000


def test_infinite_losses_and_single_points_do_not_break_a_chart() -> None:
    lines = [{"step": 1, "epoch": 1, "train/loss": float("inf"), "val/loss": 0.3}]
    assert "<circle" in charts(lines, 1)[0]
    assert charts([], None) == []


def test_metrics_are_read_line_by_line_and_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text("".join(json.dumps(line) + "\n" for line in metric_lines(2)))
    assert read_metrics(path)[0]["step"] == 10
