"""Where errors surface: one plain sentence with the way out; the traceback goes to the log, never to a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from catfish_core.errors import CatfishError, SignedOut
from catfish_ui import identity
from catfish_ui.text import plain

_log = logging.getLogger("catfish")


def show(error: CatfishError) -> None:
    """`error` as its sentence, with the way out below."""
    text = f"**{plain(error.what)}**"
    st.error(f"{text}\n\n{plain(error.hint)}" if error.hint else text, icon=":material/sentiment_dissatisfied:")


def admitted() -> bool:
    """Whether somebody is here who may see pages; says why not where nobody is, and how to come in."""
    try:
        identity.header()
        return True
    except SignedOut as error:
        st.info(f"**{plain(error.what)}**\n\n{plain(error.hint)}", icon=":material/lock:")
        identity.sign_in_link()
    except CatfishError as error:
        show(error)
    return False


@contextmanager
def page_guard() -> Iterator[None]:
    """Shows a CatfishError raised inside; whatever else is raised goes on to `on_script_error`.

    Who it is, is asked first, since parts of a page that tick by themselves come through no other door. Where
    somebody is signed out meanwhile, the page is drawn anew, and says so.
    """
    try:
        identity.user()
        yield
    except SignedOut:
        st.rerun()
    except CatfishError as error:
        show(error)


def on_script_error(error: Exception) -> bool:
    """What `st.App` calls for an exception that no guard caught, from pages, fragments and callbacks alike."""
    if isinstance(error, CatfishError):  # of a button's callback, mostly
        show(error)
        return True
    _log.error("A page failed", exc_info=error)
    st.error(
        "**Something went wrong that should not have.**\n\nReload the page. If it happens again, the terminal "
        "that CatFish was started from has the details for a bug report. Your runs and photos are safe.",
        icon=":material/sentiment_dissatisfied:",
    )
    return True
