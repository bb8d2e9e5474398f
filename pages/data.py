"""Data: the photos there are, and how to bring your own."""

from pathlib import Path

import streamlit as st

from catfish_core.catalog import BUILTIN_DATASETS
from catfish_core.data import library
from catfish_core.errors import DatasetError
from catfish_ui import cache, datasets, guard, identity

ws = cache.workspace()

st.title("Photos to learn from", anchor=False)
st.markdown(
    "A dataset is a collection of photos sorted by what is on them. Each kind is called a class: cat, fish, or "
    "anything you like."
)

datasets.imports(ws)
ready = {info.id: info for info in library.listing(ws)}
builtin = {row.id: row for row in BUILTIN_DATASETS}
cards = st.grid(2, min_column_width=400)
for id in (*builtin, *(id for id in ready if id not in builtin)):  # a card keeps its place when it becomes ready
    with cards.cell(), guard.page_guard():
        if id in ready:
            datasets.card(ws, ready[id])
        else:
            datasets.offer(ws, builtin[id])

st.header("Bring your own", anchor=False)
st.markdown(
    "One folder for each class, named after what is on its photos, inside a zip or a folder. If you have sorted them "
    "into train, val and test already, that is kept; otherwise it is done for you."
)
with st.container(border=True, gap="small", key="data_import"):
    ways = {"zip": "A zip file", "folder": "A folder"}
    if identity.desk().may("manage"):  # whoever names a path reads what CatFish may read
        ways["path"] = "A folder on the computer CatFish runs on"
    way = st.segmented_control("From", list(ways), default="zip", required=True, format_func=ways.get, key="data_way")
    turn = st.session_state.get("data_turn", 0)  # a new key empties the uploader, and with it the memory it takes
    upload = folder = path = None
    if way == "zip":
        upload = st.file_uploader("Zip file", "zip", key=f"data_zip_{turn}")
    elif way == "folder":
        folder = st.file_uploader("Folder", accept_multiple_files="directory", key=f"data_folder_{turn}")
    else:
        path = st.text_input("Path of the folder or zip", key="data_path", placeholder="/home/me/photos").strip()
    suggested = Path(upload.name).stem if upload else Path(path).stem if path else ""
    name = st.text_input("Name", key="data_name", max_chars=120, placeholder=suggested or "What you call it")
    forbidden = identity.why_not("import")
    pressed = st.button("Import", key="data_add", type="primary", icon=":material/add:", help=forbidden,
                        disabled=not (upload or folder or path) or forbidden is not None)  # fmt: skip
    if pressed:
        with guard.page_guard(), st.spinner("Taking it in…", show_time=False):
            identity.desk().require("import dataset", name.strip() or suggested, "manage" if path else "import")
            if upload:
                source = datasets.keep_zip(ws, upload)
            elif folder:
                source = datasets.keep_folder(ws, folder)
            else:
                source = Path(path).expanduser()
                if not source.exists():
                    raise DatasetError(f"There is nothing at {path}.", "Check the path for a slip of the keyboard.")
            datasets.begin(name.strip() or suggested or source.stem, source, ours=not path)
            st.session_state["data_turn"] = turn + 1
            st.rerun()
