"""Bars, tables and JSON."""

import json

from catfish_core.cli import terminal


class Screen:
    def __init__(self, tty=True):
        self.tty, self.text = tty, ""

    def isatty(self):
        return self.tty

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_bar_rewrites_its_line_and_takes_it_away():
    screen = Screen()
    with terminal.Bar(screen) as bar:
        bar.show("Fetching", 5_000_000, 10_000_000, "bytes")
        bar.show("Fetching", 10_000_000, 10_000_000, "bytes")
    assert "100 %  10.0 MB of 10.0 MB" in screen.text
    assert "\n" not in screen.text
    assert screen.text.endswith("\r")


def test_a_bar_is_silent_in_a_pipe():
    screen = Screen(tty=False)
    with terminal.Bar(screen) as bar:
        bar.show("Fetching", 1, 2)
    assert screen.text == ""


def test_json_knows_no_nan(capsys):
    terminal.say_json({"a": float("nan"), "b": (1.5, float("inf")), "c": "é\ud800"})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": "é\ud800"}


def test_a_table_lines_up(capsys):
    terminal.table(("ID", "PHOTOS"), [("a", 5), ("longer", 12345)])
    assert capsys.readouterr().out.splitlines() == ["ID      PHOTOS", "a            5", "longer   12345"]
