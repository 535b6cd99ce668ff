"""Policies on disk: what comes back is what was written, nothing is executed, damage is named."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from policies_made import mlp_actor, pair

from invrec_rllib import InputError, Policy
from invrec_rllib.learning import onnx_export
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.export import (
    EXPORT_FOLDER,
    POLICY_FILE,
    build_with_weights,
    find_export,
    save_policy,
)
from invrec_rllib.learning.onnx_export import TOLERANCE, export_onnx, largest_difference
from invrec_rllib.learning.spaces import check_space, space_from_data, space_to_data
from invrec_rllib.learning.weights_folder import WEIGHTS_FILE


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_policy(pair(memory="gru"), tmp_path / "export")


@pytest.mark.parametrize("memory", ["none", "gru", "lstm"])
def test_what_is_loaded_acts_bit_for_bit_alike(tmp_path: Path, memory: str) -> None:
    policy = pair(memory=memory)
    policy.save(tmp_path / "export")
    again = Policy.load(tmp_path / "export")
    assert (again.world, again.provenance, again.agents) == (policy.world, policy.provenance, policy.agents)
    states = [policy.initial_state(5), again.initial_state(5)]
    for name, actor in policy.actors.items():
        assert again.actors[name].description == actor.description
        assert again.actors[name].action_space == actor.action_space
        assert again.actors[name].observation_space == actor.observation_space
        for _ in range(3):
            seen = np.random.default_rng(3).uniform(size=(5, *(actor.observation_space.shape or ())))
            (first, states[0]), (second, states[1]) = (
                one.act(name, seen, state) for one, state in zip((policy, again), states, strict=True)
            )
            np.testing.assert_array_equal(first, second)


def test_loading_unpickles_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(b"")
    assert set(Policy.load(saved).actors) == {"inventory", "recommender"}


def test_loading_draws_no_random_numbers(saved: Path) -> None:
    before = torch.random.get_rng_state()
    Policy.load(saved)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_and_a_checkpoint_stand_for_the_export_within(tmp_path: Path) -> None:
    for iteration in (2, 10):
        save_policy(pair(), tmp_path / "run" / "checkpoints" / f"iteration_{iteration:06d}" / EXPORT_FOLDER)
    newest = tmp_path / "run" / "checkpoints" / "iteration_000010"
    assert find_export(tmp_path / "run") == newest / EXPORT_FOLDER
    assert find_export(newest) == find_export(newest / EXPORT_FOLDER) == newest / EXPORT_FOLDER
    with pytest.raises(InputError, match="invrec export CHECKPOINT DEST --unpickle"):
        find_export(tmp_path)


def test_nothing_is_overwritten_and_nothing_half_done_is_left(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (saved / WEIGHTS_FILE).read_bytes()
    with pytest.raises(InputError, match="not an empty folder"):
        save_policy(pair(), saved)
    assert (saved / WEIGHTS_FILE).read_bytes() == before
    assert save_policy(pair(), saved, overwrite=True) == saved
    assert (saved / WEIGHTS_FILE).read_bytes() != before
    broken = Policy(pair().actors, provenance={"value": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_policy(broken, saved.parent / "other")
    assert [path.name for path in saved.parent.iterdir()] == ["export"]
    (saved / POLICY_FILE).unlink()
    with pytest.raises(InputError, match="not an empty folder"):
        save_policy(pair(), saved, overwrite=True)


def change(key: str, value: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / POLICY_FILE).read_text())
        content[key] = value
        (folder / POLICY_FILE).write_text(json.dumps(content))

    return apply


def truncate(folder: Path) -> None:
    content = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(content[: len(content) // 2])


def of_another(folder: Path) -> None:
    save_policy(pair(), folder.parent / "another")
    (folder / WEIGHTS_FILE).write_bytes((folder.parent / "another" / WEIGHTS_FILE).read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "not complete"),
        (truncate, "damaged"),
        (of_another, "does not belong"),
        (lambda folder: (folder / POLICY_FILE).write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / POLICY_FILE).write_bytes(b"\x80\x04"), "cannot be read as JSON"),
        (lambda folder: (folder / POLICY_FILE).write_text("[]"), "no policy of this package"),
        (change("format", "other"), "no policy of this package"),
        (change("format_version", 2), "format_version 2, this version of invrec-rllib reads 1"),
        (change("modules", {"inventory": {}}), "does not describe a policy"),
        (change("modules", []), "does not describe a policy"),
        (change("agents", {"inventory": "nobody"}), "'nobody'"),
    ],
)
def test_damage_is_named(saved: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(saved)
    with pytest.raises(InputError, match=message):
        Policy.load(saved)


def test_a_network_of_another_size_is_not_even_made() -> None:
    actor = mlp_actor("gaussian")
    huge = {**actor.description, "hidden_sizes": [10**7, 10**7]}
    with pytest.raises(InputError, match="do not fit the network described"):
        build_with_weights(huge, actor.network.state_dict())


def test_weights_that_are_no_numbers_are_refused() -> None:
    actor = mlp_actor("gaussian")
    weights = {name: value.clone() for name, value in actor.network.state_dict().items()}
    weights["network.log_std"][0] = torch.nan
    with pytest.raises(InputError, match=r"network\.log_std is not finite"):
        build_with_weights(actor.description, weights)


def test_weights_are_named_for_others_to_read(saved: Path) -> None:
    weights = safetensors.torch.load_file(saved / WEIGHTS_FILE)
    assert {name.split("/")[0] for name in weights} == {"inventory", "recommender"}
    assert "inventory/encoder.embed.weight" in weights


@pytest.mark.parametrize(
    "space",
    [
        Box(-1.0, 1.0, (3,), np.float32),
        Box(np.array([-np.inf, 0.1], np.float32), np.array([2.0, np.inf], np.float32), dtype=np.float32),
        Box(np.arange(6, dtype=np.float64).reshape(2, 3), 9.0, (2, 3), np.float64),
        Box(0, 255, (2, 2), np.uint8),
        Discrete(4, start=2),
        MultiDiscrete([2, 5]),
    ],
)
def test_spaces_come_back_from_json(space: Any) -> None:
    data = json.loads(json.dumps(space_to_data(space), allow_nan=False))
    assert space_from_data(data) == space


def test_other_spaces_are_refused() -> None:
    with pytest.raises(InputError, match="must be a Box, Discrete or MultiDiscrete"):
        check_space("space", Dict({}))


@pytest.mark.slow
def test_onnx_counts_whole_numbers_from_their_bounds_as_torch_does(tmp_path: Path) -> None:
    made = mlp_actor("gaussian")
    space = Box(2, 9, (2,), np.int64)
    actor = Actor(
        made.network, made.description, observation_space=made.observation_space, action_space=space
    )
    file = export_onnx(Policy({"a": actor}), tmp_path)["a"]
    assert largest_difference(actor, file, batch=17, seed=9) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distribution", "memory", "seen"),
    [("gaussian", "lstm", None), ("categorical", "none", Discrete(5)), ("multi_categorical", "none", None)],
)
def test_onnx_acts_as_torch_does(tmp_path: Path, distribution: str, memory: str, seen: Any) -> None:
    options = {} if seen is None else {"seen": seen}
    actor = mlp_actor(distribution, memory=memory, **options)
    file = export_onnx(Policy({"a/b": actor}), tmp_path)["a/b"]
    assert file.name == "a%2Fb.onnx"
    assert largest_difference(actor, file, batch=17, seed=9) <= TOLERANCE
    # Actions too, where they are whole numbers.
    import onnxruntime

    rng = np.random.default_rng(4)
    seen_now = rng.integers(0, 5, 11) if seen is not None else rng.normal(size=(11, 4)).astype(np.float32)
    state = actor.initial_state(11)
    feed = {"observation": seen_now, **{f"state_in_{name}": value for name, value in state.items()}}
    action = onnxruntime.InferenceSession(file).run(["action"], feed)[0]
    np.testing.assert_allclose(action, actor.act(seen_now, state)[0], atol=1e-5)


@pytest.mark.slow
def test_onnx_of_networks_over_products_is_checked_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = pair(memory="gru")
    folder = save_policy(policy, tmp_path / "export", onnx=True)
    names = [f"{name}.onnx" for name in policy.actors]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, POLICY_FILE, WEIGHTS_FILE])
    # The negative control: a file of other weights differs, and none is left behind.
    other = mlp_actor("gaussian")
    (tmp_path / "wrong").mkdir()
    write = onnx_export._write

    def write_others(actor: Any, file: Path) -> None:
        write(actor, file)
        with torch.no_grad():
            for parameter in actor.network.parameters():
                parameter.add_(0.1)

    monkeypatch.setattr(onnx_export, "_write", write_others)
    with pytest.raises(InputError, match="differs from torch"):
        export_onnx(Policy({"a": other}), tmp_path / "wrong")
    assert not any((tmp_path / "wrong").iterdir())
