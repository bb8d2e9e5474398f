"""Who sits at this browser, and the desk through which pages change things."""

from __future__ import annotations

import time
from typing import cast
from urllib.parse import quote, urlsplit

import streamlit as st

from catfish_core.lab import settings, signing
from catfish_core.lab.access import Action, User, may, refusal
from catfish_core.lab.desk import Desk
from catfish_core.workspace import Workspace
from catfish_ui.text import plain

SIGN_IN, ACCOUNT = "/catfish/sign-in", "/catfish/account"
MOMENT = 1.0  # seconds
MEANS = {
    "viewer": "You may watch and predict.",
    "member": "You may train and import, and change what is yours.",
    "admin": "You may do everything.",
}


def token() -> str:
    """What this browser showed when it connected; empty where that was nothing."""
    return st.context.cookies.get(signing.COOKIE, "")


def user() -> User:
    """Who it is now, asked anew each time: a session may have ended since. Raises SignedOut where it is nobody."""
    return signing.who(Workspace.default(), token())


def _lately() -> User:
    """Who it was a moment ago: enough for how buttons look, of which a page may have hundreds."""
    at, shown, person = st.session_state.get("identity_lately", (0.0, "", None))
    if person is None or shown != token() or time.monotonic() - at > MOMENT:
        person = user()
        st.session_state["identity_lately"] = (time.monotonic(), token(), person)
    return cast(User, person)


def desk() -> Desk:
    """What this person may do; who that is, is asked when something is done."""
    return Desk(Workspace.default(), user)


def why_not(action: Action, owner: str = "") -> str | None:
    """Why this person may not do `action` to something of `owner`, for a button's help; None where they may."""
    person = _lately()
    return None if may(person, action, owner) else str(refusal(person, action, owner))


def sign_out() -> None:
    """End this browser's session."""
    signing.sign_out(Workspace.default(), token())


def remember(person: User) -> None:
    """Forget what the one before typed, where somebody else goes on in the same tab."""
    if st.session_state.get("identity", person.name) != person.name:
        st.session_state.clear()
    st.session_state["identity"] = person.name


def header() -> None:
    """Who it is, and the way out, at the top right; nothing for the one local person."""
    person = user()
    remember(person)
    if not settings.read(Workspace.default()).shared:
        return
    with st.container(key="identity", width="content"):
        if not person.name:
            sign_in_link()
            return
        with st.popover(plain(person.name), icon=":material/account_circle:", key="identity_who"):
            st.markdown(f"**{plain(person.name)}**, {person.role}")
            st.caption(MEANS[person.role])
            st.html(f'<a href="{ACCOUNT}" target="_self">Password and sign-ins</a>')
            st.button("Sign out", key="identity_out", icon=":material/logout:", on_click=sign_out)


def sign_in_link() -> None:
    """The link to the sign-in page, which leads back here."""
    here = urlsplit(st.context.url or "/")
    back = quote(here.path + (f"?{here.query}" if here.query else ""), safe="")
    st.html(f'<a href="{SIGN_IN}?next={back}" target="_self">Sign in</a>')
