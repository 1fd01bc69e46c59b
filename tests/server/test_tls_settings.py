"""Settings of TLS: wrong ones are named with their file, certificates are replaced while clients go on, and their ends are in INFO."""

import contextlib
import os
import pathlib
import re
import select
import signal
import ssl
import subprocess
import time

import pytest

from tests.support import audit, faults, servers, tls
from tests.support.connection import Closed
from tests.support.resp import ErrorReply
from tests.support.servers import eventually, pinfold_binary
from tests.support.tls import DAY, HOUR, V12, V13, client_context, serial_of

from .conftest import info, only_pinfold

PASSPHRASE = "pl4nted-passphrase"


# --- wrong settings ---


@pytest.fixture(scope="module")
def files(authority, stranger, tmp_path_factory):
    """Good ones, and in how many ways they can be bad."""
    folder = tmp_path_factory.mktemp("files")
    good, other, locked = authority.server(), authority.server(), authority.server(password=PASSPHRASE)
    (folder / "empty").write_text("")
    (folder / "text").write_text("this is no certificate\n")
    (folder / "cut").write_bytes(pathlib.Path(good.cert).read_bytes()[:200])
    (folder / "cut.key").write_bytes(pathlib.Path(good.key).read_bytes()[:100])
    (folder / "nothing").mkdir()
    return {
        "cert": good.cert, "key": good.key, "ca": authority.cert, "other key": other.key, "locked cert": locked.cert, "locked key": locked.key,
        "missing": str(folder / "missing"), "folder": str(folder), **{name: str(folder / name) for name in ("empty", "text", "cut", "cut.key", "nothing")},
    }  # fmt: skip


GOOD = {"tls-cert-file": "cert", "tls-key-file": "key", "tls-ca-cert-file": "ca"}
# What is changed of the good settings, the setting that is to blame, and the file that is to be named with it.
WRONG_FILES = [
    *[({"tls-cert-file": file}, "tls-cert-file", file) for file in ("missing", "empty", "text", "cut", "folder", "key")],
    *[({"tls-key-file": file}, "tls-key-file", file) for file in ("missing", "empty", "text", "cut.key", "folder", "cert")],
    ({"tls-key-file": "other key"}, "tls-key-file", "other key"),
    ({"tls-cert-file": "locked cert", "tls-key-file": "locked key"}, "tls-key-file", "locked key"),
    *[({"tls-ca-cert-file": file}, "tls-ca-cert-file", file) for file in ("missing", "empty", "text", "cut", "folder", "key")],
    *[({"tls-ca-cert-dir": file}, "tls-ca-cert-dir", file) for file in ("missing", "cert")],
]
each_wrong_file = pytest.mark.parametrize(
    "changed, setting, file", WRONG_FILES, ids=[f"{setting}-{file}".replace(" ", "_") for _, setting, file in WRONG_FILES]
)
# Settings that are wrong by themselves.
WRONG_VALUES = [
    ("tls-port", "70000"), ("tls-port", "x"), ("tls-auth-clients", "maybe"), ("tls-protocols", "TLSv9"), ("tls-protocols", "TLSv1.2 nonsense"),
    ("tls-ciphers", "NO-SUCH-CIPHER"), ("tls-ciphersuites", "NO_SUCH_SUITE"), ("tls-prefer-server-ciphers", "perhaps"), ("tls-session-caching", "perhaps"),
    ("tls-session-cache-timeout", "soon"), ("tls-session-cache-timeout", "-1"), ("tls-auth-clients-user", "EMAIL"), ("tls-handshake-timeout", "x"),
    ("tls-max-handshakes", "x"), ("tls-max-handshakes", "-1"),
]  # fmt: skip


def run(settings):
    arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return subprocess.run([pinfold_binary(), *arguments], capture_output=True, text=True, timeout=60, env=servers.environment())


def with_ports(settings):
    return {"port": servers.free_port(), "tls-port": servers.free_port()} | settings


def assert_one_line(result, *words):
    assert result.returncode == 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and all(word in lines[0] for word in words), (words, result.stderr)


@only_pinfold
@each_wrong_file
def test_a_start_with_a_wrong_file_names_it_and_its_setting(files, changed, setting, file):
    settings = {name: files[value] for name, value in (GOOD | changed).items()}
    assert_one_line(run(with_ports(settings)), setting, files[file])


@only_pinfold
@pytest.mark.parametrize("setting, value", WRONG_VALUES)
def test_a_start_with_a_wrong_value_names_it_and_its_setting(files, setting, value):
    settings = {name: files[file] for name, file in GOOD.items()}
    assert_one_line(run(with_ports(settings) | {setting: value}), setting)


@only_pinfold
def test_a_tls_port_needs_its_files(files):
    for left_out in ("tls-cert-file", "tls-key-file"):
        settings = {name: files[file] for name, file in GOOD.items() if name != left_out}
        assert_one_line(run(with_ports(settings)), left_out)
    assert_one_line(run(with_ports({"tls-cert-file": files["cert"], "tls-key-file": files["key"], "tls-auth-clients": "yes"})), "tls-ca-cert-file")


@only_pinfold
def test_check_finds_a_wrong_file_without_a_start(files, tmp_path):
    for key, status in (("key", 0), ("other key", 1)):
        file = tmp_path / "pinfold.yaml"
        file.write_text(f'tls-port: 6380\ntls-cert-file: "{files["cert"]}"\ntls-key-file: "{files[key]}"\ntls-auth-clients: no\n')
        done = subprocess.run([pinfold_binary(), file, "--check"], capture_output=True, text=True, timeout=60, env=servers.environment())
        assert done.returncode == status, done
        assert status == 0 or (files["other key"] in done.stderr and "tls-key-file" in done.stderr)


@only_pinfold
def test_config_rewrite_keeps_the_settings_of_tls(authority, tmp_path):
    certificate, file = authority.server(password=PASSPHRASE), tmp_path / "pinfold.yaml"
    tls_port = servers.free_port()
    file.write_text(f'tls-port: {tls_port}\ntls-cert-file: "{certificate.cert}"\ntls-key-file: "{certificate.key}"\ntls-key-file-pass: "{PASSPHRASE}"\ntls-auth-clients: no\n')
    with servers.pinfold(file=file) as server, server.connect() as admin:
        assert admin.call("CONFIG", "SET", "tls-auth-clients", "optional", "tls-ca-cert-file", authority.cert, "tls-protocols", "TLSv1.3") == "OK"
        assert admin.call("CONFIG", "REWRITE") == "OK"
        before = admin.call("CONFIG", "GET", "tls-*")
        server.stop()
        server.start()
        with server.connect() as again:
            assert again.call("CONFIG", "GET", "tls-*") == before
        assert serial_of(tls_port) == certificate.serial


@only_pinfold
def test_a_wrong_passphrase_is_named_and_not_shown(files):
    settings = {"tls-cert-file": files["locked cert"], "tls-key-file": files["locked key"], "tls-ca-cert-file": files["ca"], "tls-key-file-pass": "pl4nted-wrong"}
    result = run(with_ports(settings))
    assert_one_line(result, "tls-key-file", files["locked key"])
    assert "pl4nted" not in result.stdout + result.stderr


@only_pinfold
def test_the_tls_port_cannot_be_the_plain_one(files):
    port = servers.free_port()
    assert_one_line(run({name: files[file] for name, file in GOOD.items()} | {"port": port, "tls-port": port}), str(port))


@only_pinfold
@each_wrong_file
def test_config_set_of_a_wrong_file_names_it_and_changes_nothing(tls_server, files, changed, setting, file):
    with tls_server.connect_plain() as admin:
        before = admin.call("CONFIG", "GET", "tls-*")
        serial = serial_of(tls_server.tls_port)
        said = admin.call("CONFIG", "SET", *(part for name, value in changed.items() for part in (name, files[value])))
        assert isinstance(said, ErrorReply) and setting in said and files[file] in said, said
        assert admin.call("CONFIG", "GET", "tls-*") == before
        assert serial_of(tls_server.tls_port) == serial


@only_pinfold
@pytest.mark.parametrize("setting, value", [pair for pair in WRONG_VALUES if pair[0] != "tls-port"])
def test_config_set_of_a_wrong_value_names_it_and_changes_nothing(tls_server, setting, value):
    with tls_server.connect_plain() as admin:
        before = admin.call("CONFIG", "GET", "tls-*")
        said = admin.call("CONFIG", "SET", setting, value)
        assert isinstance(said, ErrorReply) and setting in said, said
        assert admin.call("CONFIG", "GET", "tls-*") == before
        with tls_server.connect() as connection:
            assert connection.call("PING") == "PONG"


# --- keys with a passphrase ---


def test_a_key_with_a_passphrase(start_tls, authority, version):
    server = start_tls("--tls-key-file-pass", PASSPHRASE, certificate=authority.server(password=PASSPHRASE))
    with server.connect(context=client_context(authority, versions=version)) as connection:
        assert connection.call("PING") == "PONG"


@only_pinfold
def test_the_passphrase_of_a_key_appears_nowhere(authority, tmp_path):
    certificate = authority.server(password=PASSPHRASE)
    file, audit = tmp_path / "pinfold.yaml", tmp_path / "audit"
    tls_port = servers.free_port()
    file.write_text(
        f'tls-port: {tls_port}\ntls-cert-file: "{certificate.cert}"\ntls-key-file: "{certificate.key}"\ntls-ca-cert-file: "{authority.cert}"\n'
        f'tls-key-file-pass: "{PASSPHRASE}"\ntls-auth-clients: no\naudit-log-file: "{audit}"\nloglevel: debug\nthreads: 2\n'
    )
    with servers.pinfold(file=file) as server, server.connect() as admin:
        said = b"".join(
            admin.raw(*words)
            for words in (
                ("CONFIG", "GET", "*"), ("CONFIG", "SET", "tls-key-file-pass", "pl4nted-wrong"), ("CONFIG", "SET", "tls-key-file-pass", PASSPHRASE),
                ("CONFIG", "GET", "tls-key-file-pass"), ("INFO", "everything"), ("CLIENT", "LIST"),
            )
        )  # fmt: skip
        assert b"tls-key-file-pass" in said and b"pl4nted" not in said
        server.process.send_signal(signal.SIGHUP)
        assert serial_of(tls_port) == certificate.serial
        eventually(lambda: "SIGHUP" in server.log())
        server.stop()
        assert "pl4nted" not in server.log() and "pl4nted" not in audit.read_text() and "tls-key-file-pass" in audit.read_text()


# --- certificates are replaced ---


@pytest.fixture
def renewed(authority):
    """Two certificates of the same names."""
    return authority.server(ends=10 * DAY), authority.server(ends=20 * DAY)


def shows(server, certificate):
    return serial_of(server.tls_port) == certificate.serial


@only_pinfold
@pytest.mark.parametrize("how", ["SIGHUP", "by itself"])
def test_replaced_files_are_taken_and_no_connection_is_dropped(start_tls, authority, version, renewed, how):
    first, second = renewed
    server = start_tls(certificate=first)
    context = client_context(authority, versions=version)
    with server.connect(context=context) as early, server.connect_plain() as admin:
        assert early.call("SET", "k", "v") == "OK" and shows(server, first)
        number = early.call("CLIENT", "ID")
        first_serial = first.serial
        first.replace(second)
        assert first.serial == second.serial != first_serial
        if how == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
        eventually(lambda: shows(server, second), deadline=60, step=0.1)
        assert early.call("GET", "k") == b"v" and early.call("CLIENT", "ID") == number
        assert early.pipeline([("PING",)] * 1000) == ["PONG"] * 1000
        with server.connect(context=context) as late:
            assert late.call("GET", "k") == b"v"
        assert int(info(admin, "stats")["total_connections_received"]) >= 4


def test_config_set_of_another_certificate_is_taken_and_no_connection_is_dropped(start_tls, authority, version, renewed):
    first, second = renewed
    server = start_tls(certificate=first)
    with server.connect(context=client_context(authority, versions=version)) as early, server.connect_plain() as admin:
        assert early.call("SET", "k", "v") == "OK" and shows(server, first)
        assert admin.call("CONFIG", "SET", "tls-cert-file", second.cert, "tls-key-file", second.key) == "OK"
        assert shows(server, second)
        assert early.call("GET", "k") == b"v"
        assert admin.call("CONFIG", "SET", "tls-key-file", first.key, "tls-cert-file", first.cert) == "OK"
        assert shows(server, first)


@only_pinfold
def test_config_set_of_several_settings_reads_the_files_once(start_tls, authority, renewed):
    first, second = renewed
    server = start_tls(certificate=first)
    with server.connect_plain() as admin:
        loaded = int(info(admin, "tls")["tls_certificates_loaded"])
        changes = {"tls-cert-file": second.cert, "tls-key-file": second.key, "tls-ca-cert-file": authority.cert, "tls-auth-clients": "optional", "tls-session-caching": "no"}
        assert admin.call("CONFIG", "SET", *(word for pair in changes.items() for word in pair)) == "OK"
        assert int(info(admin, "tls")["tls_certificates_loaded"]) == loaded + 1
        assert shows(server, second)


@only_pinfold
def test_config_set_blames_the_setting_that_is_wrong_and_loads_nothing_again(start_tls, authority):
    """Whether TLS or another setting refuses, and in whatever order they stand."""
    server = start_tls("--maxclients", "100")
    other = authority.server()
    with server.connect_plain() as admin:
        before, loads = admin.call("CONFIG", "GET", "*"), info(admin, "tls")["tls_certificates_loaded"]
        for pairs, wrong in (
            (("tls-session-cache-timeout", "222", "tls-cert-file", "nowhere.pem"), "tls-cert-file"),
            (("tls-key-file", "nowhere.pem", "timeout", "7", "tls-session-cache-timeout", "222"), "tls-key-file"),
            (("tls-session-cache-timeout", "222", "tls-key-file", other.key), "tls-key-file"),
            (("tls-session-cache-timeout", "222", "TLS-Ciphers", "NONSENSE"), "TLS-Ciphers"),
        ):
            said = admin.call("CONFIG", "SET", *pairs)
            assert isinstance(said, ErrorReply) and f"(possibly related to argument '{wrong}') - {wrong.lower()}" in said, said
            assert admin.call("CONFIG", "GET", "*") == before
            now = info(admin, "tls")
            assert now["tls_certificates_loaded"] == loads and now["tls_certificates_last_load"] == "ok"
            assert shows(server, server.certificate)


@only_pinfold
def test_a_change_that_another_setting_refuses_leaves_the_certificates(start_tls, authority, renewed):
    first, second = renewed
    server = start_tls(certificate=first)
    new = ("tls-cert-file", second.cert, "tls-key-file", second.key)
    with server.connect_plain() as admin:
        limit = str((1 << 32) - 1)  # more files than a process may have open
        said = admin.call("CONFIG", "SET", *new, "maxclients", limit)
        assert isinstance(said, ErrorReply) and "'maxclients'" in said, said
        assert shows(server, first)
        assert int(info(admin, "tls")["tls_server_cert_serial"], 16) == first.serial
        assert admin.call("CONFIG", "SET", *new) == "OK" and shows(server, second)


@pytest.fixture
def many_authorities(authority, tmp_path):
    """A directory that takes a while to read."""
    folder = tmp_path / "authorities"
    folder.mkdir()
    text = pathlib.Path(authority.cert).read_bytes()
    for number in range(1000):
        (folder / str(number)).write_bytes(text)
    return folder


@only_pinfold
def test_no_client_waits_while_another_one_sets_certificates(start_tls, many_authorities):
    """Even if one thread serves both. Of several times once is enough: who is answered first is also a matter of the system."""
    server = start_tls("--threads", "1")
    with server.connect_plain() as admin, server.connect_plain() as other:
        for _ in range(20):
            admin.send_command("CONFIG", "SET", "tls-ca-cert-dir", str(many_authorities))
            admin.send_command("PING")
            assert other.call("PING") == "PONG"
            first = not select.select([admin.socket], [], [], 0)[0]
            assert admin.read() == "OK" and admin.read() == "PONG"
            if first:
                return
        pytest.fail("the other client was never answered first")


@only_pinfold
def test_a_client_that_goes_away_does_not_stop_its_change(start_tls, authority, many_authorities):
    server = start_tls()
    with server.connect_plain() as admin:
        for _ in range(20):
            with server.connect_plain() as hasty:
                hasty.send_command("CONFIG", "SET", "tls-ca-cert-dir", str(many_authorities))
        eventually(lambda: admin.call("CONFIG", "GET", "tls-ca-cert-dir")[1] == str(many_authorities).encode(), deadline=240)
        eventually(lambda: len(admin.call("CLIENT", "LIST").splitlines()) == 1, deadline=240)
        assert server.log().count("CONFIG SET tls-ca-cert-dir") > 0
        with server.connect() as connection:
            assert connection.call("PING") == "PONG"


@only_pinfold
def test_the_audit_log_tells_how_a_change_of_certificates_has_ended(start_tls, authority, tmp_path):
    path = tmp_path / "audit"
    server = start_tls("--audit-log-file", path)
    with server.connect_plain() as admin:
        assert admin.call("CONFIG", "SET", "tls-session-caching", "no") == "OK"
        assert isinstance(admin.call("CONFIG", "SET", "tls-cert-file", "nowhere.pem"), ErrorReply)

        def told():
            return [(line["request"], line["result"]) for line in audit.events(path, "configuration")]

        eventually(lambda: len(told()) == 4)
        (one, begun), (same, done), (other, also), (again, failed) = told()
        assert one == same == "CONFIG SET tls-session-caching no" and begun == also == "begun" and done == "done"
        assert other == again == "CONFIG SET tls-cert-file nowhere.pem" and "nowhere.pem" in failed
    eventually(lambda: "failed: (possibly related to argument 'tls-cert-file')" in server.log())


LOADED = "TLS: certificates loaded"


class Breakable:
    """A server with files of its own, of which one can be broken at a time, and a client from before that."""

    WAYS = ("cert", "key", "ca", "a key of another")

    def __init__(self, start_tls, authority, folder):
        folder.mkdir()
        certificate, trusted = authority.server(), tls.Authority(folder)
        self.server = start_tls("--tls-ca-cert-file", trusted.cert, certificate=certificate)
        self.early = self.server.connect()
        self.serial = certificate.serial
        self.files = {"cert": certificate.cert, "key": certificate.key, "ca": trusted.cert, "a key of another": certificate.key}
        self.other_key = pathlib.Path(authority.server().key).read_bytes()

    def put(self, content):
        pathlib.Path(self.name + ".new").write_bytes(content)
        os.rename(self.name + ".new", self.name)

    def hang_up(self):
        self.server.process.send_signal(signal.SIGHUP)

    def said(self, text):
        return self.server.log().count(text)

    def break_file(self, way):
        self.name = self.files[way]
        self.good, self.before = pathlib.Path(self.name).read_bytes(), self.said(self.name)
        self.put(self.other_key if way == "a key of another" else b"-----BEGIN CERTIFICATE-----\nnonsense\n")

    def check(self):
        """The log names the file, and the old ones serve."""
        eventually(lambda: self.said(self.name) > self.before, deadline=60, step=0.1)
        assert serial_of(self.server.tls_port) == self.serial and self.early.call("PING") == "PONG"
        # What is said of it is not said again and again.
        for _ in range(5):
            assert serial_of(self.server.tls_port) == self.serial
        assert self.said(self.name) - self.before <= 4, self.server.log()

    def mend(self):
        loaded = self.said(LOADED)
        self.put(self.good)
        self.hang_up()
        eventually(lambda: self.said(LOADED) > loaded, deadline=60, step=0.1)
        with self.server.connect() as late:
            assert late.call("PING") == "PONG" and self.early.call("PING") == "PONG"


@only_pinfold
@pytest.mark.parametrize("how", ["SIGHUP", "by itself"])
def test_broken_files_leave_the_old_ones_and_the_log_names_them(start_tls, authority, tmp_path, how):
    """On several servers at once, because each looks every two seconds, and its log has few lines of a kind in a second."""
    with contextlib.ExitStack() as stack:
        broken = []
        for way in Breakable.WAYS:
            broken.append(Breakable(start_tls, authority, tmp_path / way))
            stack.enter_context(broken[-1].early)
            broken[-1].break_file(way)
            if how == "SIGHUP":
                broken[-1].hang_up()
        for one in broken:
            one.check()
            one.mend()


@only_pinfold
def test_files_that_are_written_in_two_steps_are_taken_when_both_are_there(start_tls, authority, renewed):
    """The key comes, and later the certificate: in between they do not fit, and the old ones serve."""
    first, second = renewed
    server = start_tls(certificate=first)
    serial = first.serial
    pathlib.Path(first.key).write_bytes(pathlib.Path(second.key).read_bytes())
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: first.key in server.log() or first.cert in server.log())
    assert serial_of(server.tls_port) == serial
    pathlib.Path(first.cert).write_bytes(pathlib.Path(second.cert).read_bytes())
    eventually(lambda: shows(server, second), deadline=60, step=0.1)


@only_pinfold
def test_certificates_that_are_reloaded_while_clients_come_and_go(start_tls, authority, renewed):
    server = start_tls(certificate=renewed[0])
    with server.connect_plain() as admin, server.connect() as early:
        for turn in range(40):
            certificate = renewed[turn % 2]
            assert admin.call("CONFIG", "SET", "tls-cert-file", certificate.cert, "tls-key-file", certificate.key) == "OK"
            with server.connect() as one, server.wire() as unfinished:
                unfinished.socket.sendall(unfinished.hello())
                assert one.call("PING") == "PONG" and early.call("PING") == "PONG"
        eventually(lambda: len(admin.call("CLIENT", "LIST").splitlines()) == 2)


@only_pinfold
def test_an_authority_that_is_no_longer_trusted_lets_nobody_in(start_tls, authority, stranger, tmp_path, version):
    """Nor does a session that was begun while it was."""
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(pathlib.Path(authority.cert).read_bytes())
    server = start_tls("--tls-ca-cert-file", trusted, ask="yes")
    old, new = (client_context(authority, issuer.client("someone"), version) for issuer in (authority, stranger))
    with server.connect(context=old) as early:
        assert early.call("PING") == "PONG"
        session = early.session
        trusted.write_bytes(pathlib.Path(stranger.cert).read_bytes())
        server.process.send_signal(signal.SIGHUP)

        def let_in(context, **how):
            try:
                with server.connect(context=context, **how) as connection:
                    return connection.call("PING") == "PONG"
            except (ssl.SSLError, Closed, ConnectionError):
                return False

        eventually(lambda: let_in(new), step=0.1)
        assert not let_in(old) and not let_in(old, session=session)
        assert early.call("PING") == "PONG"


@only_pinfold
@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers have an allocator of their own, which cannot be replaced")
def test_a_hangup_for_which_there_is_no_memory_does_not_lose_the_next_one(start_tls, authority, tmp_path):
    log = tmp_path / "log"
    seed = faults.seed()
    print(f"PINFOLD_SEED={seed}")
    injected = faults.Faults(tmp_path, seed)
    server = start_tls("--logfile", log, env=injected.environment())
    for chance in (1, 0.5, 0.3, 0.1) * 3:
        before = injected.failed()
        injected.fail(chance, kinds=faults.HEAP)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: injected.failed() > before)
        time.sleep(0.1)
        injected.off()
        if log.exists():
            log.rename(tmp_path / "old")
        server.process.send_signal(signal.SIGHUP)
        eventually(log.exists)
    with server.connect_plain() as admin:
        eventually(lambda: info(admin, "tls")["tls_certificates_last_load"] == "ok")
    assert serial_of(server.tls_port) == server.certificate.serial


@only_pinfold
@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers have an allocator of their own, which cannot be replaced")
def test_settings_and_certificates_agree_when_memory_was_refused(start_tls, authority, renewed, tmp_path):
    """A change is made or it is not, whatever the client hears of it."""
    seed = faults.seed()
    print(f"PINFOLD_SEED={seed}")
    injected = faults.Faults(tmp_path, seed)
    server = start_tls(certificate=renewed[0], env=injected.environment())
    certificates = {certificate.cert.encode(): certificate for certificate in renewed}
    refused = 0
    for turn in range(60):
        certificate = renewed[(turn + 1) % 2]
        with server.connect_plain() as admin:
            assert admin.call("PING") == "PONG"
            injected.fail((0.001, 0.01, 0.1)[turn % 3], kinds=faults.HEAP)
            try:
                said = admin.call("CONFIG", "SET", "timeout", "7", "tls-cert-file", certificate.cert, "requirepass", "", "tls-key-file", certificate.key)
            except (Closed, ConnectionError):
                said = None
            injected.off()
            refused += said != "OK"
        with server.connect_plain() as admin:
            assert admin.call("CONFIG", "SET", "timeout", "7") == "OK"  # behind what is still under way
            shown = certificates[admin.call("CONFIG", "GET", "tls-cert-file")[1]]
            assert admin.call("CONFIG", "GET", "tls-key-file")[1] == shown.key.encode()
            assert said != "OK" or shown is certificate
            assert serial_of(server.tls_port) == shown.serial
            assert int(info(admin, "tls")["tls_server_cert_serial"], 16) == shown.serial
    assert 0 < refused < 60 and injected.failed() > 0


# --- their ends ---


@only_pinfold
def test_info_tells_when_the_certificates_end(start_tls, authority):
    server = start_tls(certificate=authority.server(begins=-3 * DAY, ends=-DAY))
    with server.connect_plain() as admin:
        for days, ends in ((-1, -DAY), (10, 10 * DAY), (20, 20 * DAY)):
            certificate = authority.server(begins=-3 * DAY, ends=ends)
            assert admin.call("CONFIG", "SET", "tls-cert-file", certificate.cert, "tls-key-file", certificate.key) == "OK"
            found = info(admin, "tls")
            assert int(found["tls_server_cert_serial"], 16) == certificate.serial
            assert abs(int(found["tls_server_cert_expires_in_seconds"]) - days * 86400) < 120
            assert abs(int(found["tls_server_cert_expires_at"]) - time.time() - days * 86400) < 120
            assert abs(int(found["tls_ca_cert_expires_in_seconds"]) - 365 * 86400) < 3600


@only_pinfold
def test_a_certificate_that_is_not_valid_now_does_not_take_the_place_of_one_that_is(start_tls, authority, renewed):
    first, second = renewed[:2]
    expired = authority.server(begins=-2 * DAY, ends=-HOUR)
    early = authority.server(begins=HOUR, ends=DAY)
    server = start_tls(certificate=first)
    with server.connect_plain() as admin:
        for certificate, why in ((expired, "has expired, and the present one has not"), (early, "is not valid yet, and the present one is")):
            said = admin.call("CONFIG", "SET", "tls-cert-file", certificate.cert, "tls-key-file", certificate.key)
            assert isinstance(said, ErrorReply) and f"'{certificate.cert}' {why}" in said
        assert admin.call("CONFIG", "GET", "tls-cert-file")[1] == first.cert.encode()
        first.replace(expired)
        eventually(lambda: info(admin, "tls")["tls_certificates_last_load"] != "ok", deadline=60, step=0.1)
        assert serial_of(server.tls_port) == int(info(admin, "tls")["tls_server_cert_serial"], 16) != expired.serial
        first.replace(second)
        eventually(lambda: shows(server, second), deadline=60, step=0.1)


@only_pinfold
@pytest.mark.parametrize("begins, ends, said", [(-2 * DAY, -HOUR, "has expired"), (DAY, 2 * DAY, "not valid before")])
def test_the_log_warns_of_a_certificate_that_is_not_valid_now(start_tls, authority, begins, ends, said):
    server = start_tls(certificate=authority.server(begins=begins, ends=ends))
    eventually(lambda: re.search(re.escape(server.certificate.cert) + ".*" + said, server.log()))


@only_pinfold
def test_the_ciphers_of_tls_1_2_are_those_of_the_system_that_keep_what_was_recorded_secret(start_tls, authority, tmp_path):
    """With an RSA key, so that the static exchange of keys would be possible."""
    policy = tmp_path / "openssl.cnf"
    names = "ECDHE-RSA-AES256-GCM-SHA384:AES256-GCM-SHA384"  # the second is without such secrecy
    policy.write_text(f"openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nCipherString={names}\n")
    for environment, refused in (({}, ["AES256-GCM-SHA384"]), ({"OPENSSL_CONF": str(policy)}, ["AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"])):
        server = start_tls(certificate=authority.server(key="rsa"), env=environment)
        with server.connect(context=client_context(authority, versions=V12, ciphers="ECDHE-RSA-AES256-GCM-SHA384")) as connection:
            assert connection.call("PING") == "PONG"
        for cipher in refused:
            with pytest.raises(ssl.SSLError):
                server.connect(context=client_context(authority, versions=V12, ciphers=cipher))
    policy.write_text(policy.read_text().replace(names, "AES256-GCM-SHA384"))
    for settings in ((), ("--tls-protocols", "TLSv1.3")):
        server = start_tls(*settings, certificate=authority.server(key="rsa"), env={"OPENSSL_CONF": str(policy)})
        with pytest.raises(ssl.SSLError):
            server.connect(context=client_context(authority, versions=V12, ciphers="AES256-GCM-SHA384"))
        with server.connect(context=client_context(authority, versions=V13)) as connection:
            assert connection.call("PING") == "PONG"
