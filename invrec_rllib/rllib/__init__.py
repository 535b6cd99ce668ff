"""The room that knows Ray: environments, configurations and everything that subclasses RLlib."""
