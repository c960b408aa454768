"""The pictures a method makes on its way: which stands where, and how bright."""

import numpy as np

from engine.measurement import Measurement
from engine.theme import DARK, LIGHT
from engine.views import exhibit


def test_each_picture_stands_in_its_place_at_its_brightness():
    pictures = np.zeros((2, 3, 1, 4, 5), np.float32)  # (K, n, c, h, w)
    pictures[1, 2] = exhibit.SPREAD
    pictures[0, 1] = -2 * exhibit.SPREAD
    paper = exhibit.montage(pictures)
    assert paper.shape == (2 * (4 + 2), 3 * 5 + 2, 4)
    assert (paper[6:10, 12:, :3] == 255).all(), "three deviations above the mean is white"
    assert (paper[:4, 6:11, :3] == 0).all(), "what lies beyond is black, not wrapped around"
    assert (paper[:4, :5, :3] == 128).all(), "the mean is grey"
    assert (paper[4:6, :, 3] == 0).all(), "gaps are clear"


def test_colours_stay_colours_and_other_channels_become_grey():
    coloured = np.zeros((1, 1, 3, 2, 2), np.float32)
    coloured[0, 0, 0] = exhibit.SPREAD
    assert exhibit.montage(coloured)[0, 0].tolist() == [255, 128, 128, 255]
    assert exhibit.montage(np.zeros((1, 1, 2, 2, 2), np.float32)).shape == (4, 2, 4)


def test_the_table_and_the_figure_name_class_and_probability():
    sure = np.array([[0.1, 0.2], [0.3, 1e-9]], np.float32)
    pictures = np.zeros((2, 2, 1, 3, 3), np.float32)
    measurement = Measurement({"sure": sure, "pictures": pictures}, {"names": ["cat", "dog"]})
    table = exhibit.frame(measurement)
    assert table["class"].tolist() == ["cat", "cat", "dog", "dog"]
    assert table["picture"].tolist() == [1, 2, 1, 2]
    for colours in (LIGHT, DARK):
        figure = exhibit.figure(table, colours, **exhibit.beside(measurement))
        assert [a.text for a in figure.layout.annotations] == ["0.100", "0.200", "0.300", "< 0.001"]
        assert figure.data[0].source.startswith("data:image/png;base64,"), "not numbers by the million"
        assert list(figure.layout.yaxis.ticktext) == ["cat", "dog"]
        assert figure.layout.yaxis.title.text == "taught as class"
