"""What people are told wherever they are in the app: their runs that have ended, and what is said to all."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from catfish_core.lab import messages
from catfish_core.lab.desk import Desk
from catfish_core.lab.messages import Ended, Message
from catfish_ui import cache, guard, lab_reading, places, status
from catfish_ui.components import Column, Row, table
from catfish_ui.text import ago, plain, shorten

LOOK = 4.0  # seconds between two looks at what has ended
AWAY = "messages_away"  # what somebody without a name has put away, in this session
UNTIL = {1.0: "for an hour", 8.0: "for 8 hours", 24.0: "for a day", 168.0: "for a week", None: "until I take it back"}


def show(desk: Desk) -> None:
    """The banner, and a look now and then at what has ended."""
    with guard.page_guard():
        for message in standing(desk):
            _banner(desk, message)
    st.fragment(_tell, run_every=LOOK)(desk)


def standing(desk: Desk) -> list[Message]:
    """The messages this person has not put away."""
    away = st.session_state.get(AWAY, [])
    return [each for each in messages.standing(desk.workspace, desk.user.name) if each.id not in away]


def _banner(desk: Desk, message: Message) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"banner_{message.id}"):
        st.markdown(f":material/campaign: {plain(message.text)}", width="stretch")
        st.button("", key=f"banner_away_{message.id}", icon=":material/close:", type="tertiary",
                  help="Put it away", on_click=_put_away, args=(desk, message.id))  # fmt: skip


def _put_away(desk: Desk, id: str) -> None:
    st.session_state[AWAY] = [*st.session_state.get(AWAY, []), id]
    if _is_somebody(desk):
        messages.dismiss(desk.workspace, desk.user.name, id)


def _is_somebody(desk: Desk) -> bool:
    """Whether what this person was told can be remembered: a visitor without a name is anybody."""
    return bool(desk.user.name) or desk.may("manage")


def _tell(desk: Desk) -> None:
    with guard.page_guard():
        if not _is_somebody(desk):
            return
        looking_at = (st.query_params.get("run"), st.query_params.get("sweep"))
        for ended in reversed(messages.news(desk.workspace, desk.user.name, cache.watch(desk.workspace).ended())):
            if ended.id not in looking_at:
                text, icon = lab_reading.news(ended)
                st.toast(text, icon=icon, duration="long")


def latest(desk: Desk, shared: bool) -> None:
    """What has ended lately, for who was not there to see the notice."""
    mine = [each for each in cache.watch(desk.workspace).ended() if each.owner == desk.user.name]
    if not mine:
        return
    st.header("Your news" if shared else "News", anchor=False)
    now = datetime.now()
    rows = [_row(ended, now) for ended in mine[:5]]
    clicked = table([Column("Run"), Column("What came of it"), Column("When")], rows, "lab_news", cards=True).open
    if clicked:
        sweeps = {each.id for each in mine if each.noun == "sweep"}
        (places.go_to_sweep if clicked in sweeps else places.go_to_run)(clicked)


def _row(ended: Ended, now: datetime) -> Row:
    word = status.WORDS[ended.status]
    page = "run?run" if ended.noun == "run" else "learning-rate?sweep"
    name = {"text": shorten(ended.title, 60), "link": True}
    badge = {"text": word.text, "tone": word.color}
    return Row(ended.id, [name, badge, ago(datetime.fromtimestamp(ended.at), now)], href=f"{page}={ended.id}")


def write(desk: Desk) -> None:
    """What an administrator says to all, and what of it stands."""
    st.header("Say something to all", anchor=False)
    with st.form("lab_say", border=True, clear_on_submit=True):
        text = st.text_input(
            "Message", max_chars=messages.LENGTH, placeholder="Maintenance at 5 pm: the machine is off for an hour."
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            hours = st.selectbox("It stands", list(UNTIL), format_func=lambda each: UNTIL[each], width=240)
            sent = st.form_submit_button("Say it", icon=":material/campaign:", key="lab_say_it")
    if sent:
        with guard.page_guard():
            desk.announce(text, hours)
            st.rerun()
    for message in messages.standing(desk.workspace):
        with st.container(horizontal=True, vertical_alignment="center"):
            by = f"{plain(message.by)}, " if message.by else ""
            when = ago(datetime.fromtimestamp(message.at), datetime.now())
            st.markdown(f"{plain(message.text)} :gray[{by}{when}]", width="stretch")
            if st.button("Take it back", key=f"lab_take_back_{message.id}", type="tertiary"):
                desk.take_back(message.id)
                st.rerun()
