"""What a page shows when something goes wrong in it."""

import logging

from streamlit.testing.v1 import AppTest


def unforeseen():
    from catfish_ui import guard

    assert guard.on_script_error(KeyError("secret/path"))


def foreseen():
    from catfish_core.errors import DatasetError
    from catfish_ui import guard

    with guard.page_guard():
        raise DatasetError("The zip “<b>*x*</b>” is empty.", "Choose another :smile:.")


def test_an_unforeseen_error_is_one_plain_sentence_and_a_log_entry(caplog):
    with caplog.at_level(logging.ERROR, "catfish"):
        app = AppTest.from_function(unforeseen).run()
    assert len(app.error) == 1 and "secret" not in app.error[0].value and not app.exception
    assert "A page failed" in caplog.text and "KeyError" in caplog.text


def test_an_error_is_its_sentence_and_the_way_out_with_markup_as_it_is():
    app = AppTest.from_function(foreseen).run()
    assert r"\<b\>\*x\*\</b\>" in app.error[0].value and ":smile" not in app.error[0].value
