"""Settings are checked before anything starts, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, load_settings, make_settings


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"iteration": 3}, ["iteration", "not permitted"]),
        ({"discount": 1.5}, ["discount", "1.5", "less than or equal to 1"]),
        ({"learning_rate_inventory": float("nan")}, ["learning_rate_inventory", "finite"]),
        ({"algo": "sac"}, ["algo", "'ppo'", "sac"]),
        (
            {"minibatch_size": 100, "steps_per_iteration": 50},
            ["minibatch_size = 100", "steps_per_iteration = 50"],
        ),
        ({"learners": -1}, ["learners", "-1", "greater than or equal to 0"]),
        ({"learners": 2, "algo": "ppo"}, ["learners = 2", "algo = mtmappo", "'ppo'"]),
        ({"learners": 3}, ["steps_per_iteration = 1664", "multiple of learners = 3"]),
        ({"learners": 2, "minibatch_size": 415}, ["minibatch_size = 415", "multiple of learners = 2"]),
        ({"learners": 2, "envs_per_runner": 31}, ["envs_per_runner = 31", "multiple of learners = 2"]),
        ({"gpus_per_learner": -0.5}, ["gpus_per_learner", "-0.5", "greater than or equal to 0"]),
    ],
)
def test_a_bad_setting_is_named_with_its_value(data: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        make_settings(data)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_settings_survive_their_file(tmp_path: Path) -> None:
    settings = TrainSettings(scenario="tiny", iterations=7, discount=0.9)
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert load_settings(file) == settings
    assert load_settings(file, iterations=9).iterations == 9


@pytest.mark.parametrize(("text", "words"), [("- 1", "mapping"), ("a: [", "cannot be read"), ("x: 1", "x: ")])
def test_a_file_without_settings_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        load_settings(file)
