"""Compares the service with other servers and libraries; `../bench_peers.py` runs it."""
