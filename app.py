"""What `streamlit run app.py` starts: one server with the pages, the chart library and the model downloads."""

import streamlit as st

from catfish_ui import guard, routes
from catfish_ui.lifespan import lifespan

app = st.App("catfish_ui/main.py", routes=routes.ROUTES, lifespan=lifespan, on_script_error=guard.on_script_error)
