"""The files a lab is served with name what is really here."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def lines(name):
    return (DEPLOY / name).read_text().splitlines()


def test_what_the_image_copies_is_not_ignored_and_all_the_app_needs():
    kept = {line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert kept == {"app.py", "pages", "catfish_core", "catfish_ui", ".streamlit", "requirements.txt"}
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cuda.yaml"])
def test_compose_files_are_of_one_service_and_its_arguments_are_known(name):
    data = yaml.safe_load((DEPLOY / name).read_text())
    service = data["services"]["catfish"]
    arguments = set(service["build"].get("args", {}))
    assert arguments <= {line.split()[1].split("=")[0] for line in lines("Dockerfile") if line.startswith("ARG ")}
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", ["Dockerfile", "catfish.service"])
def test_the_app_is_checked_and_started_on_the_same_port(name):
    text = (DEPLOY / name).read_text()
    check = re.search(r"-m catfish_core check --quiet --port (\d+)", text)
    start = re.search(r"-m streamlit run app\.py --server\.address [\d.]+ --server\.port (\d+)", text)
    assert check and start and check[1] == start[1] and "CATFISH_LAB=1" in text
