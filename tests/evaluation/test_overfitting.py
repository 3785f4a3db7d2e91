"""Overfitting is told from noise and from training that goes well, and divergence is named."""

import math

import numpy as np
import pytest

from pawprint.evaluation.overfitting import overfitting


def stage(number, losses):
    """Rows of a stage from (loss, val_loss) of each epoch."""
    return [
        {
            "stage": float(number),
            "epoch": float(epoch),
            "loss": loss,
            "accuracy": 0.9,
            "val_loss": val_loss,
            "val_accuracy": 0.9,
        }
        for epoch, (loss, val_loss) in enumerate(losses, start=1)
    ]


GOOD = [(0.5, 0.4), (0.3, 0.25), (0.2, 0.19)]
OVERFITS = [(0.30, 0.25), (0.12, 0.20), (0.06, 0.27), (0.03, 0.33)]


def test_overfitting_says_where_it_began_how_far_it_went_and_what_to_do():
    (said,) = overfitting(stage(1, OVERFITS))
    assert said.startswith("Stage 1 overfits: validation loss was lowest in epoch 2 (0.2000); ")
    assert "in epoch 4 it was 0.3300" in said
    assert "training loss fell from 0.1200 to 0.0300" in said
    for advice in ("`epochs = 2`", "`rate`", "`best_weights = true`", "`patience`", '"fresh"'):
        assert advice in said


def test_each_stage_is_judged_on_its_own():
    assert overfitting(stage(1, GOOD) + stage(2, GOOD)) == []
    (said,) = overfitting(stage(1, OVERFITS) + stage(2, [(0.02, 0.30), (0.01, 0.28)]))
    assert said.startswith("Stage 1 ")
    first, second = overfitting(stage(1, OVERFITS) + stage(2, [(0.02, 0.40), (0.01, 0.60)]))
    assert first.startswith("Stage 1 ")
    assert second.startswith("Stage 2 overfits: validation loss was lowest where stage 1 ended")


def test_fine_tuning_is_compared_with_where_the_stage_before_ended():
    (said,) = overfitting(stage(1, GOOD) + stage(2, [(0.1, 0.24), (0.05, 0.26)]))
    assert "lowest where stage 1 ended (0.1900); in epoch 2 it was 0.2600" in said
    assert "fell from 0.2000 to 0.0500" in said
    assert "lower `rate`" in said
    assert "epochs =" not in said  # no number of epochs would have been right
    # The same stage on its own has nothing to be compared with.
    assert overfitting(stage(2, [(0.1, 0.24), (0.05, 0.26)])) == []


def test_where_best_weights_were_restored_it_is_noticed_and_undone():
    (said,) = overfitting(stage(1, OVERFITS), restored={1})
    assert said.startswith("Stage 1 overfitted, which was undone: ")
    assert "lowest in epoch 2 (0.2000); in epoch 4 it was 0.3300" in said
    assert said.endswith("; the weights of epoch 2 were restored.")
    assert overfitting(stage(1, GOOD), restored=[1]) == []
    assert overfitting(stage(1, OVERFITS), restored=[2]) == overfitting(stage(1, OVERFITS))


def test_the_stage_after_a_restored_one_starts_from_its_best():
    after = [(0.10, 0.26), (0.05, 0.27)]
    undone, said = overfitting(stage(1, OVERFITS) + stage(2, after), restored=[1])
    assert undone.startswith("Stage 1 overfitted, which was undone")
    assert "lowest where stage 1 ended (0.2000)" in said
    assert len(overfitting(stage(1, OVERFITS) + stage(2, after))) == 1


def test_restoring_undoes_nothing_that_was_lost_before_the_best_epoch():
    rows = stage(1, GOOD) + stage(2, [(0.1, 0.26), (0.05, 0.34)])
    undone, said = overfitting(rows, restored=[2])
    assert undone.startswith("Stage 2 overfitted, which was undone")
    assert said.startswith("Stage 2 overfits: validation loss was lowest where stage 1 ended")
    assert "in epoch 1 it was 0.2600" in said


@pytest.mark.parametrize(
    ("lowest", "last", "noticed"),
    [
        (0.200, 0.239, False),  # a fifth more
        (0.200, 0.241, True),
        (0.050, 0.069, False),  # a fifth and more, but a small step
        (0.050, 0.071, True),
        (0.001, 0.020, False),
        (0.0, 0.021, True),
    ],
)
def test_only_a_clear_rise_is_noticed(lowest, last, noticed):
    assert bool(overfitting(stage(1, [(0.3, lowest), (0.1, last)]))) == noticed


def test_a_rise_that_was_made_up_for_is_not_noticed():
    assert overfitting(stage(1, [(0.3, 0.2), (0.2, 0.5), (0.1, 0.21)])) == []


def test_it_is_not_overfitting_when_training_gets_worse_too():
    assert overfitting(stage(1, [(0.1, 0.2), (0.3, 0.5)])) == []
    assert overfitting(stage(1, [(0.1, 0.2), (0.1, 0.5)])) == []


def test_noise_of_a_few_hundred_photos_is_not_overfitting():
    # Logistic losses of 300 photos at margins that stay the same but for each epoch's own wobble.
    noticed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        margins = rng.normal(4.0, 2.2, 300)
        val = [np.logaddexp(0, -margins - rng.normal(0, 0.7, 300)).mean() for _ in range(5)]
        noticed += bool(
            overfitting(stage(1, list(zip((0.5, 0.4, 0.3, 0.2, 0.1), val, strict=True))))
        )
    assert noticed <= 200 // 30


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float32("nan")])
@pytest.mark.parametrize(("row", "kind"), [((1, 0.2), "training"), ((0.1, 1), "validation")])
def test_divergence_is_said(bad, row, kind):
    losses = [*GOOD, tuple(bad if value == 1 else value for value in row)]
    (said,) = overfitting(stage(1, losses))
    assert said.startswith(
        f"Stage 1 diverged in epoch 4, where the {kind} loss became {float(bad)}"
    )
    assert "lower `rate`" in said
    (said,) = overfitting(stage(1, losses), restored=[1])
    assert "; the weights of epoch 3 were restored. Use a lower `rate`" in said


def test_divergence_in_the_first_epoch_leaves_nothing_to_restore_or_compare_with():
    rows = stage(1, [(math.nan, math.nan)])
    for restored in ([], [1]):
        (said,) = overfitting(rows + stage(2, GOOD), restored)
        assert said.startswith("Stage 1 diverged in epoch 1")
        assert "restored" not in said


def test_nothing_to_tell():
    assert overfitting([]) == []
    assert overfitting(stage(1, [(0.3, 0.9)])) == []


@pytest.mark.parametrize("without", [{}, {"val_loss": None}, {"val_loss": 0.2, "loss": None}])
def test_missing_losses_are_passed_over(without):
    plain = [{"stage": 1.0, "epoch": epoch, "loss": 1 / epoch} | without for epoch in (1, 2, 3)]
    assert overfitting(plain) == []
    (said,) = overfitting(stage(1, OVERFITS[:2]) + plain[:1] + stage(1, OVERFITS)[2:])
    assert "lowest in epoch 2 (0.2000); in epoch 4 it was 0.3300" in said


def test_rows_without_stage_or_epoch_are_counted():
    rows = [{"loss": loss, "val_loss": val_loss} for loss, val_loss in OVERFITS]
    (said,) = overfitting(rows)
    assert said.startswith("Stage 1 overfits: validation loss was lowest in epoch 2")


def test_a_stage_that_was_undone_is_told_of_without_advice_and_forgotten():
    undone = stage(2, [(0.1, 0.4), (0.05, 0.9)])
    (said,) = overfitting(stage(1, GOOD) + undone, rolled_back=[2])
    assert said.startswith("Stage 2 overfitted, and all of it was undone: validation loss was")
    assert "Use " not in said
    # The next one begins where the first had ended.
    _, third = overfitting(stage(1, GOOD) + undone + stage(3, [(0.1, 0.3)]), rolled_back=[2])
    assert "lowest where stage 1 ended (0.1900)" in third
    assert overfitting(stage(1, GOOD) + stage(2, [(0.1, 0.4)]), rolled_back=[2]) == []


def test_a_stage_that_diverged_and_was_undone_is_told():
    (said,) = overfitting(stage(1, GOOD) + stage(2, [(0.1, math.nan)]), rolled_back=[2])
    assert said.startswith("Stage 2 diverged in epoch 1")
    assert "the stage was undone. Use a lower `rate`" in said
