"""What the black-box suites share: a RESP codec, connections, and servers to talk to."""
