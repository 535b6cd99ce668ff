"""How affinities move from one period to the next."""

from __future__ import annotations

from invrec_rllib.sim.params import FloatArray, Params


def next_affinity(
    params: Params,
    affinity: FloatArray,
    exposure: FloatArray,
    *,
    unmet_share: FloatArray | None,
    taste_noise: FloatArray | None,
) -> FloatArray:
    """One step of `a <- a + rho (abar - a) + kappa e - gamma u + sigma eps`.

    Args:
        params: the world.
        affinity: log-attraction [a], (B, M, N).
        exposure: [e], (B, M, N).
        unmet_share: share of each product's demand that went unmet [u], (B, N); None where gamma is 0.
        taste_noise: standard normal [eps], (B, M, N); None where sigma is 0.

    Returns:
        (B, M, N), a new array.
    """
    tastes = params.scenario.tastes
    moved: FloatArray = affinity * (1.0 - tastes.reversion)
    moved += params.affinity_pull
    if tastes.carryover:
        moved += tastes.carryover * exposure
    if unmet_share is not None:
        moved -= (tastes.disappointment * unmet_share)[:, None, :]
    if taste_noise is not None:
        moved += tastes.noise * taste_noise
    return moved
