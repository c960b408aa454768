import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.base import image_data
from engine.data.digits import Digits
from engine.forget import parse, selectors
from engine.forget.base import ForgetError, Scene, Selector, checked, forget_set, spans
from engine.forget.chance import Random
from engine.forget.classes import Classes
from engine.forget.drawn_classes import DrawnClasses
from engine.forget.indices import LARGEST_FILE, Indices, read_file, read_numbers
from engine.forget.listed import Listed
from engine.forget.margin import Margin
from engine.forget.memorised import Memorised
from engine.forget.published import Published
from engine.forget.similar import Cluster, Nearest, Outliers
from engine.knobs import BadSetting

N = 60


def made_up(labels=None, classes=("cat", "dog", "owl"), n=N):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3 if labels is None else np.asarray(labels)
    x = rng.integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
    return image_data(name="pets", classes=classes, x_train=x, y_train=labels, x_test=x[:3], y_test=labels[:3])


DATA = made_up()
_RNG = np.random.default_rng(1)
# three tight groups of 30, 20 and 10 pictures, in mixed order, and picture 7 far from everything
GROUP = _RNG.permutation(np.repeat([0, 1, 2], [30, 20, 10]))
FEATURES = (np.eye(3)[GROUP] * 20 + _RNG.normal(0, 0.1, (N, 3))).astype(np.float32)
MARGINS = _RNG.normal(0, 1, (5, N)).astype(np.float32)
SCORES = _RNG.uniform(-0.1, 1, N).astype(np.float32)
SCENE = Scene(DATA, FEATURES, MARGINS, {"memorisation scores": SCORES})


def scored(scores):
    """Return a scene in which only the memorisation of each picture can be seen."""
    return Scene(DATA, prerequisites={"memorisation scores": scores})


EXAMPLES = [
    Random(n=7),
    Random(percent=10),
    DrawnClasses(n=2),
    Classes(classes="1"),
    Cluster(number=1, clusters=3),
    Cluster(number=1, clusters=3, space="pixels"),
    Cluster(number=1, clusters=3, size=6),
    Nearest(point=17, n=9),
    Nearest(point=17, n=9, space="pixels"),
    Margin(n=8),
    Margin(n=8, end="highest"),
    *(Memorised(n=8, end=end) for end in ("most", "least", "half", "mixed")),
    Outliers(n=6),
    Outliers(n=6, space="pixels"),
    Indices(indices="3,17,20-25"),
]


class Unread:
    """Stands for what a selector said that it does not read."""

    def __getattr__(self, name):
        raise AssertionError("a selector looked at what it did not ask for")


@pytest.mark.parametrize("selector", EXAMPLES, ids=lambda s: s.title())
def test_contract_of_every_selector(selector):
    needs = selector.needs()
    assert set(needs) == set(selector.looks()) - {"pixels"}
    assert set(needs) <= set(selector.card.reads) <= {"features", "margins", "memorisation scores"}
    have = {"features": FEATURES, "margins": MARGINS, "memorisation scores": SCORES}
    features, margins, scores = (array if name in needs else Unread() for name, array in have.items())
    data = DATA if "pixels" in selector.looks() else dataclasses.replace(DATA, x_train=Unread())
    scene = Scene(data, features, margins, {"memorisation scores": scores})
    state = np.random.get_state()[1].copy()
    first = selector.select(scene, seed=3)
    assert np.array_equal(np.random.get_state()[1], state)
    assert first.dtype == np.int64
    assert np.array_equal(first, np.unique(first))
    assert 0 < len(first) < N
    assert np.array_equal(first, selector.select(scene, seed=3))
    assert np.array_equal(first, type(selector).from_settings(selector.settings()).select(scene, seed=3))
    for need in needs:
        without = {"prerequisites": {}} if need == "memorisation scores" else {need: None}
        with pytest.raises(ForgetError, match=need.split()[0]):
            selector.select(dataclasses.replace(scene, **without), seed=3)


def test_every_selector_has_an_example_here_and_a_card():
    assert list(selectors()) == [
        *("random", "class", "classes", "cluster", "nearest", "margin", "memorised", "outliers", "indices"),
        *("listed", "published"),
    ]
    elsewhere = {Listed, Published}  # need data that know of parts, or CIFAR-10: test_more_sets.py
    assert {type(example) for example in EXAMPLES} | elsewhere == set(selectors().values())
    for key, kind in selectors().items():
        assert kind().key == key
        assert kind.card.name
        assert kind.card.summary


CHANGES = [
    (Random, "percent", 10, 20),
    (DrawnClasses, "n", 1, 2),
    (Cluster, "size", 3, 4),
    (Random, "n", 5, 6),
    (Classes, "classes", "0", "2"),
    (Cluster, "number", 0, 1),
    (Cluster, "clusters", 2, 4),
    (Cluster, "space", "features", "pixels"),
    (Nearest, "point", 3, 4),
    (Nearest, "n", 5, 6),
    (Nearest, "space", "features", "pixels"),
    (Margin, "end", "lowest", "highest"),
    (Margin, "n", 5, 6),
    (Memorised, "end", "most", "mixed"),
    (Memorised, "n", 5, 6),
    (Outliers, "n", 5, 6),
    (Outliers, "space", "features", "pixels"),
    (Indices, "indices", "1", "2"),
]
SMALL = {"n": 5, "clusters": 3}


@pytest.mark.parametrize(("kind", "knob", "a", "b"), CHANGES)
def test_every_knob_changes_the_choice(kind, knob, a, b):
    base = {f.name: SMALL[f.name] for f in kind.fields() if f.name in SMALL}
    one, other = (kind(**{**base, knob: value}).select(SCENE, seed=0) for value in (a, b))
    assert not np.array_equal(one, other)


ELSEWHERE = {("indices", "name"), ("listed", "name"), ("published", "number")}


def test_the_knobs_above_are_all_there_are():
    assert {(k.key, name) for k, name, *_ in CHANGES} | ELSEWHERE == {
        (k.key, f.name) for k in selectors().values() for f in k.fields()
    }


def test_a_name_is_a_title_and_changes_no_pictures():
    named = Indices(indices="3-5", name="  my\n set ")
    assert named.title() == "my set"
    assert Indices(indices="3-5").title() == "picked 3"
    assert forget_set(named, SCENE, seed=0).hash == forget_set(Indices(indices="3-5"), SCENE, seed=1).hash


def test_random_depends_on_the_seed_and_draws_evenly():
    draws = [Random(n=6).select(SCENE, seed=s) for s in range(400)]
    assert {len(d) for d in draws} == {6}
    counts = np.bincount(np.concatenate(draws), minlength=N)  # mean 40, deviation 6
    assert counts.min() > 10
    assert counts.max() < 70


def test_classes_by_number_and_by_name():
    owls = np.flatnonzero(DATA.y_train == 2)
    assert np.array_equal(Classes(classes="owl").select(SCENE, seed=0), owls)
    assert np.array_equal(Classes(classes="2").select(SCENE, seed=0), owls)
    both = Classes(classes=" cat , 2 ")
    assert both.settings() == {"classes": "cat,2"}
    assert np.array_equal(both.select(SCENE, seed=0), np.flatnonzero(DATA.y_train != 1))


def test_a_class_name_that_is_a_number_goes_before_the_number():
    scene = Scene(made_up(classes=("2", "1", "0")))
    assert np.array_equal(Classes(classes="2").select(scene, seed=0), np.flatnonzero(scene.data.y_train == 0))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("3", "no class '3'; its classes are cat, dog, owl"),
        ("cow", "no class 'cow'"),
        ("-1", "no class '-1'"),
        ("", "no class ''"),
        ("0,cat", "class cat is listed more than once"),
        ("0,1,2", "whole training set"),
    ],
)
def test_classes_that_cannot_be_forgotten(classes, said):
    with pytest.raises(ForgetError, match=said):
        Classes(classes=classes).select(SCENE, seed=0)


def test_an_empty_class_is_refused_and_so_are_all_that_have_pictures():
    data = dataclasses.replace(made_up(), y_train=np.arange(N) % 2)
    with pytest.raises(ForgetError, match="class owl has no training pictures"):
        Classes(classes="owl").select(Scene(data), seed=0)
    with pytest.raises(ForgetError, match="whole training set"):
        Classes(classes="cat,dog").select(Scene(data), seed=0)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_the_groups_numbered_by_size(seed):
    for number in range(3):
        chosen = Cluster(number=number, clusters=3).select(SCENE, seed=seed)
        assert np.array_equal(chosen, np.flatnonzero(number == GROUP))


def test_clusters_partition_the_training_set_also_when_fitted_on_a_part(monkeypatch):
    monkeypatch.setattr("engine.forget.similar._FIT", 20)
    monkeypatch.setattr("engine.forget.similar._BLOCK", 7)
    parts = [Cluster(number=i, clusters=4, space="pixels").select(SCENE, seed=1) for i in range(4)]
    assert sorted(np.concatenate(parts)) == list(range(N))
    assert [len(p) for p in parts] == sorted((len(p) for p in parts), reverse=True)


def test_long_vectors_are_narrowed_before_clustering_and_keep_their_groups(monkeypatch):
    monkeypatch.setattr("engine.forget.similar._WIDE", 2)
    monkeypatch.setattr("engine.forget.similar._NARROW", 2)
    for number in range(3):
        chosen = Cluster(number=number, clusters=3).select(SCENE, seed=5)
        assert np.array_equal(chosen, np.flatnonzero(number == GROUP))


def test_cluster_numbers_and_counts_that_do_not_exist():
    with pytest.raises(ForgetError, match="no cluster 10 of 10"):
        Cluster(number=10)
    with pytest.raises(ForgetError, match="cannot make 61 clusters"):
        Cluster(clusters=61).select(SCENE, seed=0)
    equal = Scene(DATA, np.repeat(np.float32([[0, 0], [1, 1]]), N // 2, axis=0))
    assert len(Cluster(number=1, clusters=3).select(equal, seed=0)) == N // 2
    with pytest.raises(ForgetError, match="only 2 different clusters"):
        Cluster(number=2, clusters=3).select(equal, seed=0)


@pytest.mark.parametrize("space", ["features", "pixels"])
def test_nearest_agrees_with_the_obvious_computation(space, monkeypatch):
    monkeypatch.setattr("engine.forget.similar._BLOCK", 7)
    x = FEATURES if space == "features" else DATA.x_train.reshape(N, -1)
    order = sorted(range(N), key=lambda i: np.linalg.norm(x[i].astype(float) - x[11].astype(float)))
    chosen = Nearest(point=11, n=8, space=space).select(SCENE, seed=0)
    assert chosen.tolist() == sorted(order[:8])
    assert 11 in chosen


def test_nearest_holds_its_point_even_among_equal_pictures():
    equal = Scene(DATA, np.zeros((N, 2), np.float32))
    assert Nearest(point=50, n=1).select(equal, seed=0).tolist() == [50]
    assert Nearest(point=50, n=3).select(equal, seed=0).tolist() == [0, 1, 50]
    with pytest.raises(ForgetError, match="no training picture 60"):
        Nearest(point=60, n=3).select(equal, seed=0)


def test_margin_takes_the_ends_of_the_mean_over_models():
    ranked = np.argsort(MARGINS.mean(axis=0))
    assert Margin(n=4).select(SCENE, seed=0).tolist() == sorted(ranked[:4])
    assert Margin(n=4, end="highest").select(SCENE, seed=0).tolist() == sorted(ranked[-4:])


def test_memorised_takes_an_end_the_middle_or_a_third_of_each():
    """Catches a flipped sign, a middle by rank instead of by score, and a picture that is in two thirds at once."""
    scores = np.zeros(N, np.float32)
    scores[[5, 9, 20, 31, 40]] = [1.0, 0.9, 0.55, 0.48, -0.1]

    def take(n, end, given=scores):
        return (
            Memorised(n=n, end=end).select(Scene(DATA, prerequisites={"memorisation scores": given}), seed=0).tolist()
        )

    assert take(2, "most") == [5, 9]
    assert take(2, "least") == [0, 40], "of equal ones the lower number"
    assert take(2, "half") == [20, 31]
    assert take(6, "mixed") == [0, 5, 9, 20, 31, 40]
    assert take(4, "mixed") == [5, 20, 31, 40], "what is over is taken from the middle"
    same = np.full(N, 0.5, np.float32)
    assert len(take(6, "mixed", same)) == 6


def test_outliers_are_the_far_away_ones():
    features = FEATURES * 0.01
    features[[7, 41]] = [[50, -50, 50], [-60, 60, 10]]
    assert Outliers(n=2).select(Scene(DATA, features), seed=0).tolist() == [7, 41]


@pytest.mark.parametrize(
    ("selector", "scene", "said"),
    [
        (Cluster(), Scene(DATA, np.full((N, 3), np.nan, np.float32)), "not finite"),
        (Nearest(n=5), Scene(DATA, FEATURES[1:]), "one row per training picture"),
        (Margin(n=5), Scene(DATA, None, MARGINS[:, 1:]), "one column per training picture"),
        (Margin(n=5), Scene(DATA, None, np.full((2, N), np.inf)), "not finite"),
        (
            Memorised(n=5),
            scored(np.zeros(N - 1)),
            "one for each training picture",
        ),
        (Memorised(n=5), scored(np.full(N, np.nan)), "diverged"),
    ],
)
def test_broken_evidence_is_explained(selector, scene, said):
    with pytest.raises(ForgetError, match=said):
        selector.select(scene, seed=0)


@pytest.mark.parametrize("kind", [Random, Nearest, Margin, Outliers])
def test_a_count_that_leaves_nothing_to_retain_is_refused(kind):
    assert len(kind(n=N - 1).select(SCENE, seed=0)) == N - 1
    for n in (N, N + 1):
        with pytest.raises(ForgetError, match="choose at most 59"):
            kind(n=n).select(SCENE, seed=0)


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([], "empty"),
        (range(N), "whole training set"),
        ([0, N], r"no training picture 60; pets has 60, numbered from 0 to 59"),
        ([-1, -2, 5], r"no training picture -1 \(and 1 more\)"),
        ([3, 4, 3, 9, 9], r"training picture 3 \(and 1 more\) is listed more than once"),
        ([0.5], "whole numbers"),
        (["three"], "whole numbers"),
        ([True, False], "whole numbers"),
        (np.zeros((2, 2), int), "whole numbers"),
    ],
)
def test_checked_refuses_in_words(indices, said):
    with pytest.raises(ForgetError, match=said):
        checked(indices, DATA)


@given(st.lists(st.integers(-3, N + 3), max_size=N + 5))
def test_checked_is_sorted_whole_or_an_error(numbers):
    valid = 0 < len(numbers) == len(set(numbers)) < N and all(0 <= i < N for i in numbers)
    if valid:
        assert checked(numbers, DATA).tolist() == sorted(numbers)
    else:
        with pytest.raises(ForgetError):
            checked(numbers, DATA)


# the command-line form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("random:50", Random(n=50)),
        (" random : 7 ", Random(n=7)),
        ("class:3", Classes(classes="3")),
        ("class:3, 5", Classes(classes="3,5")),
        ("class:T-shirt/top", Classes(classes="T-shirt/top")),
        ("cluster:4", Cluster(number=4)),
        ("cluster:4,20", Cluster(number=4, clusters=20)),
        ("cluster:4,20,pixels", Cluster(number=4, clusters=20, space="pixels")),
        ("nearest:17,50", Nearest(point=17, n=50)),
        ("nearest:17,50,pixels", Nearest(point=17, n=50, space="pixels")),
        ("margin:lowest,50", Margin(end="lowest", n=50)),
        ("margin:highest,5", Margin(end="highest", n=5)),
        ("memorised:mixed,48", Memorised(end="mixed", n=48)),
        ("outliers:50", Outliers(n=50)),
        ("outliers:5,pixels", Outliers(n=5, space="pixels")),
    ],
)
def test_command_line_forms(text, selector):
    assert parse(text) == selector


def test_the_examples_on_the_cards_can_be_parsed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("1 2 3")
    for key, kind in selectors().items():
        assert kind.forms
        for form in kind.forms:
            assert parse(form).key == key


@pytest.mark.parametrize(
    "text",
    ["", "random", "random:", "random:x", "random:0", "random:-3", "random:1e3", "random:5,6", "random:" + "9" * 5000,
     "klass:3", "class:", "class:,", "class:3,,5", "cluster:x", "cluster:10", "cluster:1,1", "cluster:1,5,shape",
     "memorised:50", "memorised:some,50",
     "nearest:5", "nearest:5,", "nearest:5,0", "margin:50", "margin:middle,50", "outliers:5,6", "indices:",
     "indices:/no/such/file", "indices:~nobody_of_this_name/x", "indices:\0", ":", "50"],
)  # fmt: skip
def test_forms_that_do_not_fit_raise_one_sentence(text):
    with pytest.raises(ForgetError) as error:
        parse(text)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, BadSetting)


def test_an_unknown_kind_lists_the_known_forms():
    with pytest.raises(ForgetError, match=r"random:50, class:3, classes:2, cluster:4, nearest:17,50, .*indices:FILE"):
        parse("first:50")


@settings(deadline=None)
@given(
    st.one_of(st.text(max_size=30), st.tuples(st.sampled_from(list(selectors())), st.text(max_size=20)).map(":".join))
)
def test_any_text_is_a_selector_or_a_forget_error(text):
    try:
        selector = parse(text)
    except ForgetError:
        return
    assert isinstance(selector, Selector)
    assert type(selector).from_settings(selector.settings()) == selector


# lists ----------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 300)))
def test_spans_and_read_numbers_are_inverse(numbers):
    array = np.array(sorted(numbers), np.int64)
    assert read_numbers(spans(array)).tolist() == array.tolist()


def test_one_spelling_for_equal_lists():
    assert Indices(indices="25, 20-24\n17 3;").indices == "3,17,20-25"
    assert Indices(indices="3,17,20-25") == Indices.of(np.array([25, 24, 23, 22, 21, 20, 17, 3]))
    assert spans(np.array([1, 2])) == "1-2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("index\n1\n2", "'index' is not the number.*no header line"),
        ("1,two", "'two' is not"),
        ("1.5", r"'1\.5' is not"),
        ("-3", "'-3' is not"),
        ("1,5-3", "runs backwards; write 3-5"),
        ("1,2,1", "number 1 is listed more than once"),
        ("1-5,3", "number 3 is listed"),
        ("0-999999999999", "more than 10,000,000 numbers"),
        ("9" * 5000, "is not the number"),
        ("٣", "is not the number"),
    ],
)
def test_lists_that_are_not_numbers(text, said):
    with pytest.raises(ForgetError, match=said):
        Indices(indices=text)


def test_an_empty_list_can_be_made_but_not_selected():
    with pytest.raises(ForgetError, match="empty"):
        Indices().select(SCENE, seed=0)


@given(st.text(alphabet=st.sampled_from("0123456789,-; \n\tx.+e٣"), max_size=30))
def test_any_list_is_read_or_refused(text):
    try:
        numbers = read_numbers(text)
    except ForgetError:
        return
    assert np.array_equal(numbers, np.unique(numbers))


def test_files_of_every_kind_give_the_same_selector_without_a_path(tmp_path):
    expected = Indices(indices="3,17,20-22")
    (tmp_path / "a.txt").write_text("3 17\n20\n21 22\n")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf22,21,\r\n20,17,3\r\n")
    np.save(tmp_path / "c.npy", np.array([22, 3, 17, 20, 21], np.uint16))
    np.save(tmp_path / "d.npy", np.array([22, 3, 17, 20, 21], ">i8"))
    for path in tmp_path.iterdir():
        selector = parse(f"indices:{path}")
        assert selector == expected
        assert "/" not in str(selector.settings())
    assert selector.select(SCENE, seed=0).tolist() == [3, 17, 20, 21, 22]


def test_files_that_are_refused(tmp_path):
    path = tmp_path / "list"

    def refused(raw, said):
        path.write_bytes(raw)
        with pytest.raises(ForgetError, match=said):
            read_file(path)

    refused(b"", "holds no numbers")
    refused(b"id\n1\n", "no header line")
    refused(b"\xff\xfe1", "is not text")
    refused(b"1 " * (LARGEST_FILE // 2 + 1), "larger than 10 MB")
    refused(b"\x93NUMPY", "whole .npy")
    np.save(tmp_path / "x.npy", np.array([print], object), allow_pickle=True)
    refused((tmp_path / "x.npy").read_bytes(), "object of shape")
    np.save(tmp_path / "x.npy", np.array([1.0]))
    refused((tmp_path / "x.npy").read_bytes(), "float64 of shape")
    np.save(tmp_path / "x.npy", np.array([[1]]))
    refused((tmp_path / "x.npy").read_bytes(), r"shape \(1, 1\)")
    np.save(tmp_path / "x.npy", np.array([1, 2, 3]))
    raw = (tmp_path / "x.npy").read_bytes()
    refused(raw[:-4], "whole .npy")
    refused(raw.replace(b"(3,), }", b"(999999999999,), }"), "whole .npy")
    np.save(tmp_path / "x.npy", np.array([1, -2]))
    refused((tmp_path / "x.npy").read_bytes(), "-2 is not")
    np.save(tmp_path / "x.npy", np.array([2**64 - 1], np.uint64))
    refused((tmp_path / "x.npy").read_bytes(), "is not the number")
    with pytest.raises(ForgetError, match="no such file"):
        read_file(tmp_path)


@settings(deadline=None)
@given(raw=st.binary(max_size=80), cut=st.integers(0, 160), npy=st.booleans())
def test_any_bytes_are_a_list_or_refused(tmp_path_factory, raw, cut, npy):
    path = tmp_path_factory.mktemp("list") / "x"
    if npy:
        np.save(path.with_suffix(".npy"), np.arange(4))
        whole = bytearray(path.with_suffix(".npy").read_bytes())
        whole[cut % len(whole) : cut % len(whole) + len(raw)] = raw
        path.write_bytes(whole)
    else:
        path.write_bytes(raw)
    with contextlib.suppress(ForgetError):
        assert read_file(path).dtype == np.int64


# the finished set -------------------------------------------------------------------------------------------------


def test_a_forget_set_is_named_and_hashed_by_data_and_pictures():
    one = forget_set(Indices(indices="0,3,6"), SCENE, seed=0)
    assert (one.name, one.kind, one.indices.tolist(), len(one)) == ("picked 3", "indices", [0, 3, 6], 3)
    assert one.to_json() == {"name": "picked 3", "kind": "indices", "indices": "0,3,6", "hash": one.hash}
    owls = forget_set(Classes(classes="owl"), SCENE, seed=0)
    by_hand = forget_set(Indices.of(np.flatnonzero(DATA.y_train == 2)), SCENE, seed=9)
    assert owls.hash == by_hand.hash != one.hash
    other = Scene(dataclasses.replace(DATA, classes=("a", "b", "c")))
    assert forget_set(Indices(indices="0,3,6"), other, seed=0).hash != one.hash


def test_a_plug_in_that_chooses_badly_is_caught():
    class Everything(Random):
        def select(self, scene, *, seed):
            return np.arange(N)

    with pytest.raises(ForgetError, match="whole training set"):
        forget_set(Everything(), SCENE, seed=0)


def test_titles_are_for_people():
    assert [s.title() for s in EXAMPLES[:5]] == [
        *("random 7", "random 10 %", "2 random classes", "class 1", "cluster 1 of 3"),
    ]
    assert (
        Cluster(number=1, clusters=3, size=6, space="pixels").title()
        == "cluster 1 of 3, 6 nearest its centre by pixels"
    )
    assert Classes(classes="3,5").title() == "classes 3, 5"


def test_on_the_digits_the_main_forms_work(tmp_path):
    digits = Digits().load(tmp_path, lambda share, what: None)
    scene = Scene(digits)
    threes = forget_set(parse("class:3"), scene, seed=0)
    assert set(digits.y_train[threes.indices]) == {3}
    assert len(forget_set(parse("random:50"), scene, seed=0)) == 50
    clusters = forget_set(parse("cluster:0,10,pixels"), scene, seed=0)
    assert np.bincount(digits.y_train[clusters.indices]).max() / len(clusters) > 0.5  # mostly one digit
    alike = digits.y_train[parse("nearest:17,30,pixels").select(scene, seed=0)]
    assert np.bincount(alike).argmax() == digits.y_train[17]
