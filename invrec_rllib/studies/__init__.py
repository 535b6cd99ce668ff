"""Replicated comparisons of ways to train: what is compared, its runs, their rows, tables and figures."""
