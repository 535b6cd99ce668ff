"""Simple agents behind the call signature that trained ones share."""

from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.registry import make_policy, policy_names
from invrec_rllib.policies.view import Information, Observer, View

__all__ = ["Decision", "Information", "Observer", "Policy", "View", "make_policy", "policy_names"]
