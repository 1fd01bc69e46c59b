"""The image of docker/Dockerfile: what is in it, and that the server in it starts, answers and ends.

The image is built without a Docker engine (tests/support/image.py). The server in it is that of build/release, unless PINFOLD_IMAGE_COMPILES=yes has
the stage `build` compile it in the image, which takes as long as a build does.
"""

import os
import pathlib
import re
import signal
import stat
import subprocess

import pytest

from tests.support import image, servers
from tests.support.admin import status_of
from tests.support.connection import Connection

pytestmark = pytest.mark.skipif(bool(image.missing()), reason=image.missing() or "")
LARGEST = 120_000_000


@pytest.fixture(scope="module", autouse=True)
def built():
    image.build(compiles=os.environ.get("PINFOLD_IMAGE_COMPILES") == "yes")


@pytest.fixture(scope="module")
def files(built):
    """Where the files of a container are."""
    with image.container() as (_, path):
        yield path


class Container:
    """The server in a container, started as Docker does: the entrypoint with the image's environment. It has the network of this machine."""

    def __init__(self, name, *arguments, **environment):
        self.name, self.port, self.admin_port = name, servers.free_port(), servers.free_port()
        self.environment = {"PINFOLD_PORT": self.port, "PINFOLD_ADMIN_PORT": self.admin_port, "PINFOLD_BIND": "127.0.0.1", **environment}
        command = image.run_command(name, *image.configuration()["Entrypoint"], *arguments, **self.environment)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.server = servers.eventually(self.find, 60, 0.05)
        servers.eventually(lambda: status_of(self.admin_port, "/ready") == 200, 60, 0.05)

    def find(self):
        """The server's process, as this machine numbers it."""
        assert self.process.poll() is None, self.process.stdout.read()
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                ours = f"PINFOLD_PORT={self.port}".encode() in (process / "environ").read_bytes().split(b"\0")
                if ours and (process / "comm").read_text().strip() == "pinfold-server":
                    return process
            except OSError:
                continue  # it has ended, or is the kernel's
        return None

    def health(self):
        """The exit status of the image's health check, and what it says."""
        kind, *command = image.configuration()["Healthcheck"]["Test"]
        assert kind == "CMD"
        done = subprocess.run(image.run_command(self.name, *command, **self.environment), stdout=subprocess.PIPE, text=True, timeout=60)
        return done.returncode, done.stdout.strip()

    def stop(self):
        """The exit status after the signal that Docker sends."""
        os.kill(int(self.server.name), getattr(signal, image.configuration()["StopSignal"]))
        self.log, _ = self.process.communicate(timeout=60)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            if server := self.find():
                os.kill(int(server.name), signal.SIGKILL)
            self.process.wait(60)


@pytest.fixture
def container():
    with image.container() as (name, _):
        yield name


def test_it_is_small():
    sizes = image.layer_sizes()
    print(f"layers of {sizes} bytes, {sum(sizes) / 1e6:.1f} MB")
    assert sum(sizes) <= LARGEST, sizes


def test_the_server_answers_as_an_unprivileged_user_and_ends_with_status_0(container):
    with Container(container) as running:
        with Connection(port=running.port) as connection:
            assert connection.call("PING") == "PONG"
            assert connection.call("SET", "k", "v") == "OK"
        status = (running.server / "status").read_text()
        assert re.search(r"^Uid:\s+999\s+999\s+999\s+999$", status, re.MULTILINE)
        assert re.search(r"^Gid:\s+999\s+999\s+999\s+999$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert running.stop() == 0
        assert "Bye" in running.log


def test_the_health_check_follows_the_server(container):
    with Container(container) as running:
        assert running.health() == (0, "200 ready")
        assert running.stop() == 0
        assert running.health()[0] == 1


def test_the_health_check_needs_no_token(container):
    with Container(container, PINFOLD_ADMIN_TOKEN="t0ken", PINFOLD_REQUIREPASS="s3cret") as running:
        assert running.health() == (0, "200 ready")
        assert status_of(running.admin_port, "/metrics") == 401
        assert running.stop() == 0


def test_arguments_are_settings(container):
    with Container(container, "/usr/local/share/pinfold/pinfold.yaml", "--maxmemory", "64mb") as running:
        with Connection(port=running.port) as connection:
            assert connection.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", str(64 << 20).encode()]
        assert running.stop() == 0


def test_as_process_1_it_ends_on_a_signal(files):
    """To process 1 the kernel delivers no signal that it does not handle."""
    port, admin_port = servers.free_port(), servers.free_port()
    command = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={files}/proc", "chroot", "--userspec=999:999", files]
    settings = ["--port", port, "--admin-port", admin_port, "--bind", "127.0.0.1"]
    command = [str(word) for word in (*command, "/usr/local/bin/pinfold-server", *settings)]
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, text=True)
    try:
        servers.eventually(lambda: process.poll() is not None or status_of(admin_port, "/ready") == 200, 60, 0.05)
        (child,) = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert re.search(r"^NSpid:.*\s1$", pathlib.Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
        os.kill(int(child), signal.SIGTERM)
        log, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "Bye" in log
    finally:
        process.kill()  # and with it, what it has started
        process.wait()


def test_it_says_what_docker_and_kubernetes_must_know():
    configuration = image.configuration()
    assert configuration["User"] == "999:999"
    assert configuration["Entrypoint"] == ["pinfold-server"], "without a shell, so that the server is process 1"
    assert not configuration.get("Cmd")
    assert set(configuration["ExposedPorts"]) == {"6379/tcp", "9121/tcp"}
    assert "PINFOLD_ADMIN_PORT=9121" in configuration["Env"]
    assert not [variable for variable in configuration["Env"] if variable.startswith(("PINFOLD_ADMIN_BIND", "PINFOLD_REQUIREPASS", "PINFOLD_ADMIN_TOKEN"))]


def privileged(root):
    """The files that run with another's rights."""
    found = set()
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                found.add(os.path.relpath(os.path.join(folder, name), root))
    return found


def test_no_file_of_it_gives_rights_but_those_of_the_base(files):
    with image.container(image.BASE) as (_, base):
        of_base = privileged(base)
    assert "usr/bin/passwd" in of_base and privileged(files) == of_base


def test_the_server_can_change_no_file_of_it(files):
    owned = [path for path in files.rglob("*") if not path.is_symlink() and path.lstat().st_uid == 999]
    assert owned == []
    for name in ("usr/local/bin/pinfold-server", "usr/local/bin/pinfold-healthcheck"):
        mode = (files / name).stat().st_mode
        assert mode & stat.S_IXOTH and not mode & stat.S_IWOTH


def test_nothing_is_left_of_the_build(files):
    left = {"usr/bin/g++", "usr/bin/cmake", "pinfold", "var/lib/apt/lists/lock", "usr/local/bin/setup"}
    assert [name for name in left if (files / name).exists()] == []
    assert list((files / "var/cache/apt").rglob("*.deb")) == []
