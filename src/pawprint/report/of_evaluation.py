"""An evaluation of a trained model to the contents of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pawprint.evaluation.evaluate import Evaluation
from pawprint.pages.words import counted
from pawprint.report.contents import Gallery, Judged, Report, Unknown
from pawprint.report.drawings import drawings
from pawprint.report.run_files import Answer, Metrics
from pawprint.report.worries import worries_of, worries_of_data, worst_first

_LEFT_OUT = 50  # files that are named


def answers_of(evaluation: Evaluation) -> list[Answer]:
    """The answers, a row a photo, as a run has them."""
    classes = [one.label for one in evaluation.figures.classes]
    rows = zip(
        evaluation.photos,
        evaluation.predicted.tolist(),
        evaluation.probabilities.tolist(),
        strict=True,
    )
    return [
        Answer(photo.path, photo.split or "", photo.label, classes[predicted], tuple(given))
        for photo, predicted, given in rows
    ]


def of_evaluation(
    evaluation: Evaluation,
    model: str,
    source: str,
    galleries: Sequence[Gallery] = (),
    plots: Mapping[str, bytes] | None = None,
    command: str = "",
) -> Report:
    """Put together what the page of an evaluation shows.

    Args:
        evaluation: what was found.
        model: as it was typed.
        source: the name of the photos.
        galleries: photos to look at.
        plots: SVGs by name.
        command: that does it again.
    """
    judged, found = Judged(evaluation.figures, evaluation.calibration), evaluation.figures
    left_out = sum(fault.count for fault in evaluation.faults)
    side = evaluation.split or "all"
    return Report(
        made_by="pawprint evaluate",
        title=f"{model} on {source}",
        about=(
            f"{side} photos",
            counted(found.count, "photo"),
            counted(len(found.classes), "class"),
        ),
        judged={side: judged},
        worries=worst_first(worries_of(judged), worries_of_data((), left_out, 0, found.count)),
        photos={one.label: {side: one.count} for one in found.classes},
        left_out=tuple((fault.path, fault.reason) for fault in evaluation.faults[:_LEFT_OUT]),
        left_out_count=left_out,
        unknown=_unknown(evaluation),
        galleries=tuple(galleries),
        plots=drawings(plots or {}, Metrics(judged)),
        command=command,
    )


def _unknown(evaluation: Evaluation) -> Unknown | None:
    if evaluation.refused is None or evaluation.known is None:
        return None
    right = int((evaluation.known & (evaluation.predicted == evaluation.truth)).sum())
    return Unknown(None, evaluation.figures.count, evaluation.refused, right)
