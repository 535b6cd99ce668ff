"""Policies on disk, without pickle: a JSON description and weights as safetensors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.build import build_actor
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.spaces import space_from_data, space_to_data
from invrec_rllib.learning.weights_folder import WEIGHTS_FILE, Kind, filled_whole

POLICY_FILE = "policy.json"
_KIND = Kind(POLICY_FILE, "invrec-policy", version=1, what="policy of this package")
# No string of JSON holds a line break, so that what lies between the brackets is values.
_PLAIN_LIST = re.compile(r"\[\n[^\[\]{}]*\n\s*\]")
# Where a checkpoint keeps its export.
EXPORT_FOLDER = "policy"


def save_policy(
    policy: Policy, path: str | os.PathLike[str], *, onnx: bool = False, overwrite: bool = False
) -> Path:
    """Write `policy.json` and `weights.safetensors` into a folder, which gets its name when it is complete.

    The description holds the format's version, every module's network, spaces and treatment of actions, which
    agent acts by which module, what agents of `invrec_v0` see and do, and where the policy comes from. Weights
    are named `module/parameter`.

    Args:
        policy: what to write.
        path: of the folder.
        onnx: whether to write every module as ONNX too; see `onnx_export.export_onnx`.
        overwrite: whether a policy that is there already is replaced; nothing else ever is.

    Returns:
        The folder.

    Raises:
        InputError: it exists and is not empty.
        MissingExtraError: ONNX is asked for, and the extra [onnx] is not installed.
    """
    target = Path(path).expanduser().resolve()
    replaced = overwrite and (target / POLICY_FILE).is_file()
    with filled_whole(target, replaced=replaced) as part:
        text = _KIND.write(part, _describe(policy), _weights(policy))
        (part / POLICY_FILE).write_text(_flat_lists(text) + "\n", "utf-8")
        if onnx:
            from invrec_rllib.learning.onnx_export import export_onnx

            export_onnx(policy, part)
    return target


def find_export(path: str | os.PathLike[str]) -> Path:
    """The exported folder that a path stands for: itself, a checkpoint's, or that of a run's newest checkpoint.

    Raises:
        InputError: there is none.
    """
    given = Path(path).expanduser().resolve()
    checkpoints = sorted((given / "checkpoints").glob("iteration_*"))
    for folder in (given, given / EXPORT_FOLDER, *(newest / EXPORT_FOLDER for newest in checkpoints[-1:])):
        if (folder / POLICY_FILE).is_file():
            return folder
    raise InputError(
        f"{given} holds no policy: neither {POLICY_FILE} nor {EXPORT_FOLDER}/{POLICY_FILE}. A checkpoint of RLlib "
        "alone holds pickles, which can execute any code when they are loaded; of one that you trust make a policy "
        "with: invrec export CHECKPOINT DEST --unpickle"
    )


def load_policy(folder: Path) -> Policy:
    """The policy that `save_policy` wrote; nothing in the files can execute code.

    Raises:
        InputError: a file is missing, damaged, of another program or of a newer format.
    """
    content, weights = _KIND.read(folder)
    try:
        tensors = safetensors.torch.load(weights)
        return Policy(
            {
                name: _load_actor(module, _weights_of(name, tensors))
                for name, module in content["modules"].items()
            },
            agents=content["agents"],
            world=content["world"],
            provenance=content["provenance"],
        )
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS_FILE} is damaged: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        kind = type(error).__name__
        raise InputError(f"{folder / POLICY_FILE} does not describe a policy ({kind}: {error})") from error


def build_with_weights(description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> torch.nn.Module:
    """The actor of a description, with weights by parameter.

    No parameter is drawn, and no memory is taken before the shapes are known to agree.

    Raises:
        InputError: names or shapes do not agree, or a weight is not finite.
    """
    with torch.device("meta"):
        network = build_actor(description)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        wrong = sorted(name for name in {**expected, **found} if expected.get(name) != found.get(name))
        raise InputError(f"weights do not fit the network described: {', '.join(wrong[:5])}")
    for name, value in weights.items():
        if not value.isfinite().all():
            raise InputError(f"weight {name} is not finite")
    network.load_state_dict(dict(weights), assign=True)
    return network.eval()


def _describe(policy: Policy) -> dict[str, Any]:
    return {
        "modules": {
            name: {
                "network": actor.description,
                "observation_space": space_to_data(actor.observation_space),
                "action_space": space_to_data(actor.action_space),
                "bounds": actor.bounds,
            }
            for name, actor in policy.actors.items()
        },
        "agents": dict(policy.agents),
        "world": policy.world,
        "provenance": dict(policy.provenance),
    }


def _flat_lists(text: str) -> str:
    """Lists of plain values on one line each: bounds of observations would take thousands."""
    return _PLAIN_LIST.sub(
        lambda found: re.sub(r"\n\s*", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )


def _weights(policy: Policy) -> dict[str, Tensor]:
    return {
        f"{module}/{name}": value.detach().cpu().contiguous().clone()
        for module, actor in policy.actors.items()
        for name, value in actor.network.state_dict().items()
    }


def _weights_of(module: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Names of parameters hold no slash, those of modules may.
    parted = ((*name.rpartition("/"), value) for name, value in tensors.items())
    return {parameter: value for owner, _, parameter, value in parted if owner == module}


def _load_actor(module: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Actor:
    return Actor(
        build_with_weights(module["network"], weights),
        module["network"],
        observation_space=space_from_data(module["observation_space"]),
        action_space=space_from_data(module["action_space"]),
        bounds=module["bounds"],
    )
