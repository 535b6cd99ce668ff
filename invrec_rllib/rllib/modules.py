"""RLModules for the two departments: product-equivariant actor and critic, for PPO and its kin."""

from __future__ import annotations

from typing import Any, cast

from gymnasium.spaces import Box
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.product_network import ProductActor, ProductCritic


class ProductModule(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Actor and critic that share weights over products, and over segments; they share none with each other.

    Overrides what RLlib asks of a module (`setup`, `_forward`, `compute_values`) and leaves the rest alone.

    `model_config` keys:
        layout: mapping with the fields of `ObservationLayout`.
        hidden, cell_hidden: widths of the embeddings.
        initial_std: standard deviation of actions before training, in units of the action space.
        value_scale: what a critic's output of 1 means, in units of reward.
        time_left_index: entry of the observation that is 0 at the horizon, or None; see `ProductCritic`.
    """

    def setup(self) -> None:
        """Build the networks; `inference_only` modules (on env runners) have no critic."""
        config = cast(dict[str, Any], self.model_config)
        layout = ObservationLayout(**config["layout"])
        seen, decided = cast(Box, self.observation_space), cast(Box, self.action_space)
        if seen.shape != (layout.size,):
            raise InputError(
                f"observation space has shape {seen.shape}, "
                f"but model_config['layout'] describes {layout.size} numbers"
            )
        actions = decided.shape[0]
        per_cell = actions != layout.num_products
        if per_cell and actions != layout.num_products * layout.num_segments:
            raise InputError(
                f"action space has {actions} entries: neither one per product ({layout.num_products}) nor one per "
                f"segment and product ({layout.num_segments} x {layout.num_products})"
            )
        widths = {"hidden": config["hidden"], "cell_hidden": config["cell_hidden"]}
        self.actor = ProductActor(layout, per_cell=per_cell, initial_std=config["initial_std"], **widths)
        if not self.inference_only:
            self.critic = ProductCritic(
                layout,
                value_scale=config["value_scale"],
                time_left_index=config["time_left_index"],
                **widths,
            )

    @property
    def description(self) -> dict[str, Any]:
        """The actor as `learning.build.build_actor` takes it."""
        config = cast(dict[str, Any], self.model_config)
        return {
            "network": "product",
            "distribution": "gaussian",
            "per_cell": self.actor.per_cell,
            "memory": "none",
            **{key: config[key] for key in ("layout", "hidden", "cell_hidden", "initial_std")},
        }

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.actor(batch[Columns.OBS])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any | None = None) -> Tensor:
        """Values of the observations in a batch, shape of their leading axes."""
        values: Tensor = self.critic(batch[Columns.OBS])
        return values

    def get_non_inference_attributes(self) -> list[str]:
        """What env runners can do without."""
        return ["critic"]
