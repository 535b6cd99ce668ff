"""RLlib scripts on environments that are not ours, each as it was and one call more: `timescales`."""
