"""Sweeps: settings of training searched with Ray Tune, from a file to the best of them."""
