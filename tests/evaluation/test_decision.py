"""Thresholds hold what was decided, and what cannot be read is named."""

import numpy as np
import pytest

from pawprint.errors import RecipeError
from pawprint.evaluation.cross_fitting import stratified_folds
from pawprint.evaluation.decision import Decision, choose_threshold, decided, parse
from pawprint.evaluation.metrics import figures
from pawprint.evaluation.predictions import answers

CLASSES = ["cat", "dog"]
RULES = ["default", "accuracy"] + [
    f"{rule}:{label}{goal}"
    for label in CLASSES
    for rule, goal in (("f1", ""), ("precision", "=0.95"), ("recall", "=0.9"))
]


def photos(seed, count=200, *, ties=False, share=0.3):
    """Two classes, the second rarer, told apart with mistakes and not calibrated."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(count) < share).astype(np.int64)
    truth[:2] = 0, 1
    logits = rng.normal(size=count) + 2 * truth - 1.7
    score = 1 / (1 + np.exp(-(np.round(logits) if ties else logits)))
    return truth, np.stack([1 - score, score], axis=1)


def at_every_cut(truth, probabilities):
    """Figures at each threshold that parts the photos in another way."""
    score = np.unique(probabilities[:, 1])
    cuts = [score[0] / 2, *((score[1:] + score[:-1]) / 2), (1 + score[-1]) / 2]
    return [
        figures(truth, probabilities, CLASSES, predicted=answers(probabilities, cut))
        for cut in cuts
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("text", RULES[1:])
def test_no_other_threshold_does_better(seed, ties, text):
    truth, probabilities = photos(seed, 60, ties=ties)
    chosen = choose_threshold(parse(text, CLASSES), truth, probabilities)
    assert 0 < chosen.value < 1
    assert chosen.reached
    predicted = answers(probabilities, chosen.value)
    ours = figures(truth, probabilities, CLASSES, predicted=predicted)
    others = at_every_cut(truth, probabilities)
    if text == "accuracy":
        assert ours.accuracy == max(one.accuracy for one in others)
        return
    rule, place = text.split(":")[0], CLASSES.index(text.split(":")[1].split("=")[0])
    one, rest = ours.classes[place], [other.classes[place] for other in others]
    if rule == "f1":
        assert one.f1 == pytest.approx(max(other.f1 for other in rest))
    elif rule == "precision":
        assert one.precision >= 0.95
        assert one.recall == max(o.recall for o in rest if (o.precision or 0) >= 0.95)
    else:
        assert one.recall >= 0.9
        assert one.precision == max(o.precision for o in rest if o.recall >= 0.9)


def test_the_default_stays_where_nothing_is_better():
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9], [0.05, 0.95]])
    for text in (*RULES, "precision:dog=1", "recall:cat=1"):
        assert choose_threshold(parse(text, CLASSES), truth, probabilities).value == 0.5
    shifted = np.array([[0.95, 0.05], [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    for text in RULES[1:]:
        assert choose_threshold(parse(text, CLASSES), truth, shifted).value == pytest.approx(0.2)


def test_what_cannot_be_reached_is_approached_and_said():
    truth = np.array([0, 1, 0, 1, 1])
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4], [0.9, 0.1]])
    chosen = choose_threshold(parse("precision:dog=0.99", CLASSES), truth, probabilities)
    assert not chosen.reached
    predicted = answers(probabilities, chosen.value)
    assert figures(truth, probabilities, CLASSES, predicted=predicted).classes[1].precision == 0.6
    assert "precision of dog 60.00%, not the 99.00% asked for" in chosen.in_words
    certain = np.array([[1.0, 0.0], [1.0, 0.0], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    chosen = choose_threshold(parse("recall:dog=1", CLASSES), truth, certain)
    assert not chosen.reached
    assert answers(certain, chosen.value).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("text", RULES)
def test_thresholds_stay_between_0_and_1_whatever_the_probabilities(text):
    tiny = np.nextafter(0, 1)
    for scores in ([0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, tiny, 1 - 1e-16, 1]):
        second = np.array(scores, dtype=np.float64)
        given = np.stack([1 - second, second], axis=1)
        chosen = choose_threshold(parse(text, CLASSES), np.array([0, 1, 0, 1]), given)
        assert 0 < chosen.value < 1


def test_neighbouring_probabilities_are_parted():
    second = np.array([0.3, np.nextafter(0.3, 1)])
    given = np.stack([1 - second, second], axis=1)
    chosen = choose_threshold(parse("accuracy", CLASSES), np.array([0, 1]), given)
    assert answers(given, chosen.value).tolist() == [0, 1]


@pytest.mark.parametrize(("costs", "value"), [((5, 1), 5 / 6), ((1, 5), 1 / 6), ((2, 2), 0.5)])
def test_costs_are_least_on_the_mean(costs, value):
    there, back = costs
    decision = parse(f"cost:cat>dog={there},dog>cat={back}", CLASSES)
    assert decision == parse(f"cost:dog>cat={back}, cat>dog={there}", CLASSES)
    none = np.zeros(0, dtype=np.int64), np.zeros((0, 2))
    chosen = choose_threshold(decision, *none)
    assert chosen.reached
    assert chosen.value == pytest.approx(value)
    assert "cat taken for dog costs" in chosen.in_words
    # Probabilities that mean what they say: the mean cost is lowest there.
    rng = np.random.default_rng(0)
    score = rng.random(200_000)
    truth = rng.random(200_000) < score

    def cost(threshold):
        second = score >= threshold
        return there * (second & ~truth).mean() + back * (~second & truth).mean()

    assert cost(value) < min(cost(value - 0.1), cost(value + 0.1))


def test_costs_far_apart_leave_a_threshold():
    for costs in ("cat>dog=1e300,dog>cat=1e-300", "cat>dog=1e-300,dog>cat=1e300"):
        chosen = choose_threshold(parse(f"cost:{costs}", CLASSES), *photos(0))
        assert 0 < chosen.value < 1


@pytest.mark.parametrize("text", RULES)
def test_each_photo_is_answered_at_a_threshold_of_other_photos(text):
    truth, probabilities = photos(4, 101)
    decision = parse(text, CLASSES)
    found = decided(truth, probabilities, decision)
    assert set(found) <= {0, 1}
    fold_of = stratified_folds(truth)
    for held in (fold_of == fold for fold in range(5)):
        chosen = choose_threshold(decision, truth[~held], probabilities[~held])
        assert (found[held] == answers(probabilities[held], chosen.value)).all()
    if text == "default":
        assert (found == answers(probabilities)).all()


def test_figures_at_thresholds_of_other_photos_do_not_flatter():
    decision = parse("precision:dog=0.95", CLASSES)
    own, honest, new = [], [], []

    def precision(truth, predicted):
        return (truth[predicted == 1] == 1).mean()

    for seed in range(60):
        truth, probabilities = photos(seed, 80, share=0.5)
        threshold = choose_threshold(decision, truth, probabilities).value
        others, given = photos(1000 + seed, 2000, share=0.5)
        own.append(precision(truth, answers(probabilities, threshold)))
        honest.append(precision(truth, decided(truth, probabilities, decision)))
        new.append(precision(others, answers(given, threshold)))
    assert np.mean(own) - np.mean(new) > 0.02
    assert np.mean(new) - 0.05 < np.mean(honest) < np.mean(new)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("text", RULES)
def test_hardly_any_photos_are_enough(count, text):
    truth, probabilities = np.arange(count) % 2, np.full((count, 2), 0.5)
    decision = parse(text, CLASSES)
    assert 0 < choose_threshold(decision, truth, probabilities).value < 1
    assert decided(truth, probabilities, decision).shape == (count,)


def test_photos_of_one_class_cannot_tell():
    chosen = choose_threshold(
        parse("accuracy", CLASSES), np.zeros(3, dtype=int), np.eye(2)[[0] * 3]
    )
    assert (chosen.value, chosen.reached) == (0.5, False)
    assert "both classes" in chosen.in_words


def test_more_than_two_classes_take_the_default():
    decision = parse("default", "abc")
    truth, given = np.array([0, 1, 2]), np.eye(3)
    assert choose_threshold(decision, truth, given).value == 0.5
    assert decided(truth, given, decision).tolist() == [0, 1, 2]
    for text in ("accuracy", "f1:a", "cost:a>b=1,b>a=1", "nonsense"):
        with pytest.raises(RecipeError, match="needs two classes, and there are 3"):
            parse(text, "abc")


@pytest.mark.parametrize(
    "classes",
    [
        ("кошка", "犬"),
        ("a=1", "b=2"),
        ("a>b", "b>a"),
        ("a,b", "a,b,c"),
        ("f1:x", "cost:y"),
        ("x", "x=5,y>x"),
        (".*", "[a]+"),
        ("with blank", " leading"),
    ],
)
def test_any_class_name_can_be_named(classes):
    first, second = classes
    for label in classes:
        assert parse(f"f1:{label}", classes) == Decision("f1", classes, label)
        assert parse(f"precision:{label}=0.9", classes) == Decision(
            "precision", classes, label, 0.9
        )
        assert parse(f"recall:{label}=1", classes) == Decision("recall", classes, label, 1.0)
    expected = Decision("cost", classes, costs=(5.0, 0.5))
    assert parse(f"cost:{first}>{second}=5,{second}>{first}=0.5", classes) == expected
    assert parse(f"cost:{second}>{first}=0.5,{first}>{second}=5", classes) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not known; expected default, accuracy, f1:dog"),
        ("best", "is not known"),
        ("Accuracy", "is not known"),
        ("accuracy:dog", "is not known"),
        ("default:", "is not known"),
        ("f1", "names the class ''; expected 'cat' or 'dog'"),
        ("f1:Dog", "names the class 'Dog'"),
        ("precision:dog", "names the class ''"),
        ("precision:bird=0.9", "names the class 'bird'"),
        ("precision:dog=", "has the number ''; expected one above 0 and at most 1"),
        ("precision:dog=much", "has the number 'much'"),
        ("precision:dog=0", "above 0"),
        ("precision:dog=99", "at most 1"),
        ("recall:dog=nan", "has the number 'nan'"),
        ("recall:dog=-0.5", "above 0"),
        ("cost:cat>dog=5", "does not tell both costs; expected cost:cat>dog=5,dog>cat=1"),
        ("cost:cat>dog=5,cat>dog=1", "does not tell both costs"),
        ("cost:cat>bird=5,bird>cat=1", "does not tell both costs"),
        ("cost:cat>dog=0,dog>cat=1", "has the number '0'; expected one above 0"),
        ("cost:cat>dog=inf,dog>cat=1", "has the number 'inf'"),
        ("cost:cat>dog=,dog>cat=1", "has the number ''"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    with pytest.raises(RecipeError, match="decision .*" + message):
        parse(text, CLASSES)


def test_what_can_be_read_in_two_ways_is_refused():
    # One cost each way, whichever of the two ways is read first.
    classes = ("a", "a")
    with pytest.raises(RecipeError, match="does not tell both costs"):
        parse("cost:a>a=1,a>a=2", classes)


@pytest.mark.parametrize("text", ["accuracy", "f1:dog"])
def test_wrong_predictions_are_refused(text):
    decision = parse(text, CLASSES)
    for function in (lambda *p: choose_threshold(decision, *p), lambda *p: decided(*p, decision)):
        with pytest.raises(ValueError, match="NaN"):
            function(np.array([0, 1]), np.full((2, 2), np.nan))
        with pytest.raises(ValueError, match=r"got \(2,\) and \(3, 2\)"):
            function(np.array([0, 1]), np.full((3, 2), 0.5))
