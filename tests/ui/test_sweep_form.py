import pytest

from catfish_core.config import SweepConfig
from catfish_core.errors import ConfigError
from catfish_ui import sweep_form


def state(values: SweepConfig) -> dict:
    """What the form's widgets hold when they show `values`."""
    held = values.model_dump()
    return {f"sweep_form_{field}": sweep_form.NEVER.get(field) if v is None else v for field, v in held.items()}


@pytest.mark.parametrize(
    "values",
    [
        SweepConfig(),
        SweepConfig(divergence=None, val_every=7, seeds=3, scale="linear", smoothing="rolling", window=9),
    ],
)
def test_the_form_gives_back_what_it_shows(values):
    assert sweep_form.collect(state(values)) == values


def test_every_field_of_the_settings_is_asked():
    assert set(sweep_form.FIELDS) == set(SweepConfig.model_fields)


def test_every_choice_has_its_words():
    for question in (*sweep_form.COMMON, *sweep_form.MORE):
        assert question.about and set(question.options) <= set(sweep_form.WORDS)


@pytest.mark.parametrize(("field", "value"), [("init", 2.0), ("final", 1e-7), ("divergence", 0.5)])
def test_what_cannot_be_meant_is_a_sentence(field, value):
    with pytest.raises(ConfigError, match=field if field != "final" else "init"):
        sweep_form.collect(state(SweepConfig()) | {f"sweep_form_{field}": value})
