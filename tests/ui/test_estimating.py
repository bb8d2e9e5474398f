from catfish_core.estimate import Estimate
from catfish_ui.estimating import words


def test_an_estimate_in_words():
    told = words(Estimate(ready=7.8, epoch=1.24, total=21.4))
    assert told == "About **20 s** on this computer: 8 s to get ready, then 1.2 s an epoch."


def test_before_it_is_known_and_when_it_cannot_be():
    assert "being tried" in words(None)
    assert words(Estimate(why="The photos are not here yet")) == "The photos are not here yet"
