"""Benchmarks that anyone can run; `invrec bench` prints them."""
