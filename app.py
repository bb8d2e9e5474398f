"""What `streamlit run app.py` starts: one server with the pages, the routes beside them, and the door before both."""

import streamlit as st
from starlette.middleware import Middleware

from catfish_ui import door, guard, routes
from catfish_ui.lifespan import lifespan

app = st.App(
    "catfish_ui/main.py",
    routes=routes.ROUTES,
    middleware=[Middleware(door.Door)],
    lifespan=lifespan,
    on_script_error=guard.on_script_error,
)
