"""Servers that the benchmarks' tests load."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from servers import Memcached, Redis, Setup  # noqa: E402


@pytest.fixture(params=[Redis, Memcached], ids=["resp", "memcached"])
def server(request):
    with request.param(Setup(memory_mb=64)) as running:
        yield running


@pytest.fixture
def redis():
    with Redis(Setup(memory_mb=64)) as running:
        yield running
