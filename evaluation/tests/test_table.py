"""How the table is made from right and wrong answers. Needs torch, and is skipped without it."""
import numpy as np
import pytest

pytest.importorskip("torch")

from crop_evaluation import prefill, selections, table, vocabulary  # noqa: E402


def test_intervals_draw_whole_scenes():
    groups = np.repeat(np.arange(50), 12)
    alike = np.repeat(np.random.default_rng(0).integers(2, size=50), 12).astype(float)
    mixed = np.random.default_rng(1).integers(2, size=600).astype(float)
    wide, narrow = table.interval(alike, groups), table.interval(mixed, groups)
    assert wide[0] < alike.mean() < wide[1]
    # Twelve answers that always agree are worth one.
    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])


def line(value, low, high, method="crop"):
    return dict(method=method, keep_ratio=0.111, accuracy=value, ci_low=low, ci_high=high)


def test_a_figure_that_leaves_its_interval_is_named():
    before = [line(0.6, 0.55, 0.65), line(0.5, 0.45, 0.55, "fastv")]
    assert table.moved(before, [line(0.64, 0.6, 0.7), line(0.45, 0.4, 0.5, "fastv")]) == []
    sentences = table.moved(before, [line(0.66, 0.6, 0.7), line(0.5, 0.4, 0.6, "fastv")])
    assert len(sentences) == 1 and "crop" in sentences[0] and "0.660" in sentences[0]
    assert table.moved(before, [line(0.6, 0.55, 0.65)]) == ["fastv at 0.111: not in the new table"]


def test_every_kind_of_a_scene_is_asked_before_any_is_asked_often():
    answers = np.zeros((24, 8), int)
    answers[:, 1] = [0] * 18 + [1, 2, 3, 4, 5, 6]
    chosen = table.chosen_questions(answers, 3)
    assert len(set(chosen)) == table.QUESTIONS
    assert set(answers[chosen, 1]) == set(range(7))
    assert (table.chosen_questions(answers, 3) == chosen).all()


def test_the_summary_counts_what_it_says():
    groups, kinds = np.repeat(np.arange(4), 3), np.zeros(12, int)
    full = np.array([1.0] * 9 + [0.0] * 3)
    small = np.array([0.0] * 6 + [1.0] * 6)
    right = {("all", 256): full, ("downsampled_image", 28): small, ("crop", 28): np.array([1.0, 0, 1] * 4)}
    for seed in range(selections.RANDOM_SEEDS):
        right[f"random_{seed}", 28] = np.full(12, float(seed == 0))

    seconds = {("crop", 28): [0.001, 0.003, 0.002]}
    lines = {line["method"]: line for line in table.summary(right, kinds, groups, seconds)}
    crop = lines["crop"]
    assert crop["accuracy"] == pytest.approx(8 / 12) and crop["relative"] == pytest.approx(8 / 9)
    assert crop["hard_questions"] == 6 and crop["hard_accuracy"] == pytest.approx(4 / 6)
    assert crop["kinds"] == {vocabulary.KINDS[0]: pytest.approx(8 / 12)}
    assert crop["service_ms"] == 2 and crop["keep_ratio"] == 0.111
    assert lines["random"]["minus_crop"][0] == pytest.approx(1 / selections.RANDOM_SEEDS - 8 / 12)
    assert "minus_crop" not in crop and "region_gain" not in crop
    assert lines["random"]["accuracy"] == pytest.approx(1 / selections.RANDOM_SEEDS)
    assert not any(name.startswith("random_") for name in lines)


def test_a_smaller_image_has_its_tokens_in_the_middle_of_coarser_cells():
    assert table.centres(2, 2)[0].tolist() == [4 * 16 + 4, 4 * 16 + 12, 12 * 16 + 4, 12 * 16 + 12]
    assert table.centres(16, 16)[0].tolist() == list(range(256))


def test_work_grows_with_tokens_and_layers():
    assert prefill.prefill_flops(28) < prefill.prefill_flops(85) < prefill.prefill_flops(256)
    assert prefill.prefill_flops(28, 6) * 2 == prefill.prefill_flops(28, 12)
    assert prefill.cache_bytes(28) == 12 * 2 * 35 * 128 * 2


def test_a_decoy_is_a_region_inside_the_grid():
    random = np.random.default_rng(0)
    for _ in range(200):
        x0, y0, x1, y1 = selections.decoy(random, None)
        assert 0 <= x0 <= x1 <= 7 and 0 <= y0 <= y1 <= 7
