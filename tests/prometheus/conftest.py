"""A server with an admin port, for what has to be compared with real metrics."""

import http.client
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool():
    path = shutil.which("promtool")
    assert path, "promtool is missing: scripts/setup monitoring"
    return path


def scrape(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return text
    finally:
        connection.close()
