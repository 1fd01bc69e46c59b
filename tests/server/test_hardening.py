"""The built server is hardened as CMakeLists.txt says: what the compiler and the linker were told is in the binary. It runs in its sandboxes."""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

from tests.support import seccomp, servers, tls
from tests.support.connection import Connection

pytestmark = pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="only release builds are hardened")


def readelf(*options):
    done = subprocess.run(["readelf", "--wide", *options, servers.pinfold_binary()], capture_output=True, text=True, check=True)
    return done.stdout


def imported():
    """The functions that the server calls in shared libraries."""
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms")))


def test_it_is_loaded_at_a_random_address():
    assert re.search(r"Type:\s+DYN", readelf("--file-header"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("--dynamic"))


def test_addresses_of_functions_are_resolved_at_the_start_and_read_only_from_then_on():
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b", readelf("--dynamic"))
    assert re.search(r"^\s*GNU_RELRO\s", readelf("--program-headers"), re.MULTILINE)


def test_nothing_writable_is_executable_the_stack_included():
    headers = re.findall(r"^\s*(LOAD|GNU_STACK)\s+(?:0x\w+\s+){5}([RWE ]+?)\s+0x", readelf("--program-headers"), re.MULTILINE)
    assert {kind for kind, _ in headers} == {"LOAD", "GNU_STACK"}
    assert [flags for _, flags in headers if "W" in flags and "E" in flags] == []


def test_functions_with_arrays_check_the_stack_when_they_return():
    assert "__stack_chk_fail" in imported()


def test_copies_and_formatting_check_the_size_of_what_they_write_to():
    assert {"__memcpy_chk", "__snprintf_chk"} <= imported()


# --- config/pinfold.service and config/seccomp.json ---

UNIT = servers.ROOT / "config/pinfold.service"
PROFILE = servers.ROOT / "config/seccomp.json"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def use_everything(server, connection):
    """What makes system calls of its own: settings, files, sockets, threads, memory."""
    assert connection.call("CONFIG", "SET", "maxclients", "200", "lock-timing", "yes", "requirepass", "s3cret") == "OK"
    assert connection.call("CONFIG", "REWRITE") == "OK"
    assert connection.call("AUTH", "s3cret") == "OK"
    for size in (10, 100_000, 30_000_000):
        assert connection.call("SET", f"k{size}", "x" * size) == "OK"
        assert len(connection.call("GET", f"k{size}")) == size
    assert connection.call("DEBUG", "SLEEP", "0.001") == "OK"
    assert connection.call("INFO", "everything")
    assert connection.call("MEMORY", "PURGE") == "OK"
    assert connection.call("CACHE.GET", "row", "WAIT", "20")[0] == b"miss"
    assert connection.call("CACHE.GET", "row", "WAIT", "20")[0] == b"miss"
    assert connection.call("CACHE.PURGE", "PREFIX", "k", "SYNC") > 0
    assert connection.call("FLUSHALL") == "OK"
    server.process.send_signal(signal.SIGHUP)
    servers.eventually(lambda: "SIGHUP: the log was opened anew" in (server.path / "log").read_text())
    with Connection(path=str(server.path / "socket")) as local, Connection(server.port, host="::1") as other:
        assert local.call("AUTH", "s3cret") == "OK" and other.call("AUTH", "wrong").startswith("WRONGPASS")
    with server.connect() as gone:
        gone.send(b"*1\r\n$4\r\nPI")
    for _ in range(100):
        server.connect().close()


def use_tls(server, authority, certificate, tls_port):
    """Handshakes, and certificates that are replaced, with a signal and without."""
    for version in (tls.V12, tls.V13):
        context = tls.client_context(authority, authority.client("someone"), version)
        with tls.TlsConnection(tls_port, context) as client:
            assert client.call("AUTH", "s3cret") == "OK" and client.call("PING") == "PONG"
    for sends_signal in (True, False):
        certificate.replace(authority.server())
        if sends_signal:
            server.process.send_signal(signal.SIGHUP)
        servers.eventually(lambda: tls.serial_of(tls_port) == certificate.serial, step=0.1)


def use_users(connection, acl_file):
    assert connection.call("ACL", "SETUSER", "ada", "on", ">secret", "~a*", "+get") == "OK"
    assert connection.call("ACL", "SAVE") == "OK"
    assert "user ada on" in acl_file.read_text()
    assert connection.call("ACL", "LOAD") == "OK"
    assert connection.call("ACL", "DELUSER", "ada") == 1


@pytest.fixture
def acl_file(tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("")
    return path


def sandboxed(rules, tmp_path, *arguments):
    file = tmp_path / "pinfold.yaml"
    file.write_text("enable-debug-command: yes\nthreads: 2\n")
    arguments += ("--bind", "127.0.0.1 ::1", "--unixsocket", "socket", "--unixsocketperm", "770", "--logfile", "log", "--audit-log-file", "audit")
    return servers.Server(servers.pinfold_binary(), *arguments, file=file, before_exec=seccomp.loader(rules))


@pytest.mark.parametrize("rules", [pytest.param("unit", marks=needs_systemd), "profile"])
def test_the_server_makes_no_system_call_that_its_sandbox_refuses(tmp_path, authority, acl_file, rules):
    allowed = seccomp.rules_of_unit(UNIT) if rules == "unit" else seccomp.rules_of_profile(PROFILE)
    certificate, tls_port = authority.server(), servers.free_port()
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    shutil.copy(authority.cert, authorities)
    settings = ("--tls-port", tls_port, "--tls-cert-file", certificate.cert, "--tls-key-file", certificate.key, "--tls-ca-cert-dir", authorities,
                "--tls-auth-clients", "optional", "--aclfile", acl_file)  # fmt: skip
    with sandboxed(allowed, tmp_path, *settings) as server, server.connect() as connection:
        assert re.search(r"^Seccomp:\s+2$", (servers.pathlib.Path(f"/proc/{server.process.pid}/status")).read_text(), re.MULTILINE)
        assert os.stat(server.path / "socket").st_mode & 0o777 == 0o770, "the profile has no chmod: the socket was created so"
        use_everything(server, connection)
        use_tls(server, authority, certificate, tls_port)
        use_users(connection, acl_file)


def test_the_health_check_of_the_image_needs_no_other_system_call_than_the_profile_has(tmp_path):
    """Docker runs it under the profile of its container."""
    rules = seccomp.rules_of_profile(PROFILE)
    with sandboxed(rules, tmp_path, "--admin-port", port := servers.free_port()):
        assert health(port, rules) == (0, "200 ready")
    assert health(port, rules)[0] == 1, "nobody answers"


def test_the_health_check_says_why_if_its_connection_is_closed_at_once():
    """As it is when the admin port has as many connections as it may."""
    rules = seccomp.rules_of_profile(PROFILE)
    with socket.create_server(("127.0.0.1", 0)) as full:

        def close_each():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = full.accept()
                    connection.shutdown(socket.SHUT_WR)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        thread = threading.Thread(target=close_each)
        thread.start()
        try:
            # Whether the request or the answer finds the connection closed is not the same each time.
            said = {health(full.getsockname()[1], rules) for _ in range(20)}
        finally:
            full.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert said == {(1, "the admin port does not answer, or has too many connections")}


def health(port, rules):
    """The exit status of docker/healthcheck, and what it says."""
    command = ["/bin/bash", servers.ROOT / "docker/healthcheck"]
    environment = {"PINFOLD_ADMIN_PORT": str(port)}
    done = subprocess.run(command, env=environment, preexec_fn=seccomp.loader(rules), stdout=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stdout.strip()


def test_the_profile_lets_nothing_in_that_would_give_the_server_more():
    names = {name for name, conditions, error in seccomp.rules_of_profile(PROFILE) if not error}
    for name in ("ptrace", "mount", "unshare", "setns", "bpf", "keyctl", "init_module", "reboot", "chmod", "chown", "fork", "vfork", "execveat",
                 "process_vm_readv", "perf_event_open", "userfaultfd", "io_uring_setup", "mknod", "symlink", "link", "chroot", "personality"):  # fmt: skip
        assert name not in names
    assert {name for name, conditions, _ in seccomp.rules_of_profile(PROFILE) if conditions} == {"clone", "socket"}


@needs_systemd
def test_the_unit_is_valid_and_little_is_exposed(tmp_path):
    unit = tmp_path / "pinfold.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/pinfold-server", os.path.realpath(servers.pinfold_binary())))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert verified.returncode == 0 and "pinfold.service" not in verified.stderr, verified.stderr
    judged = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-2000:]


def test_the_container_runs_as_an_unprivileged_user_without_rights():
    dockerfile = (servers.ROOT / "docker/Dockerfile").read_text()
    user = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user and user[-1] != ("0", "0"), "by number, so that Kubernetes can see that it is not root"
    assert dockerfile.rindex("USER ") < dockerfile.index("ENTRYPOINT")
    compose = (servers.ROOT / "docker/compose.yaml").read_text()
    for words in ("cap_drop: [ALL]", "no-new-privileges:true", "read_only: true", "seccomp:../config/seccomp.json", "PINFOLD_REQUIREPASS:?"):
        assert words in compose, words
