"""Benchmarks: speed, memory, accuracy, and a gallery; each one command."""
