"""A sweep over one setting: which setting it is, and a line over its values."""

from measured import scores

from engine.metrics import headline
from engine.records import SPLITS
from engine.theme import LIGHT
from engine.views import sensitivity

OWN = {"key": "scrub", "lr": 0.001, "epochs": 5}


def numbers(value):
    return scores(*({"split": split, headline().key: value} for split in SPLITS), models=8)


def test_the_setting_is_the_one_that_alone_differs():
    sweep = [{**OWN, "lr": lr} for lr in (1e-4, 1e-2)]
    assert sensitivity.varied(OWN, [OWN, *sweep]) == "lr"
    assert sensitivity.varied(OWN, [OWN, sweep[0]]) == "", "two values are no line"
    assert sensitivity.varied(OWN, [OWN, *({**one, "epochs": 9} for one in sweep)]) == "", "two settings at once"
    assert sensitivity.varied(OWN, [OWN, *({**one, "key": "salun"} for one in sweep)]) == "", "another method"
    names = [{**OWN, "optimizer": name} for name in ("sgd", "adam", "signsgd")]
    assert sensitivity.varied({**OWN, "optimizer": "x"}, names) == "", "names are no axis"


def test_values_rise_and_a_wide_range_is_on_a_log_scale():
    table = sensitivity.frame("rate", [(0.1, numbers(3.0)), (0.001, numbers(8.0)), (0.01, numbers(5.0))])
    forget = table[table["split"] == "forget"]
    assert forget["value"].tolist() == [0.001, 0.01, 0.1]
    assert forget[headline().key].tolist() == [8.0, 5.0, 3.0]
    assert sensitivity.figure(table, LIGHT).layout.xaxis.type == "log"
    narrow = sensitivity.frame("rate", [(1.0, numbers(3.0)), (2.0, numbers(8.0))])
    assert sensitivity.figure(narrow, LIGHT).layout.xaxis.type == "linear"
