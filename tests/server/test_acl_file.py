"""Users in files: aclfile with ACL LOAD and ACL SAVE, users in the settings file, CONFIG REWRITE, and --check."""

import collections
import hashlib
import os
import random
import re
import resource
import subprocess

import pytest

from tests.support import servers
from tests.support.connection import Closed
from tests.support.servers import is_redis

from .conftest import only_pinfold

DIGEST = hashlib.sha256(b"secret").hexdigest()
NO_FILE = "ERR This Redis instance is not configured to use an ACL file. "
UNCHANGED = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"


@pytest.fixture
def acl(tmp_path, start):
    """acl(lines ...) starts a server with an ACL file of these lines; `acl.path` is the file."""

    def begin(*lines, file=None):
        begin.path.write_text("".join(line + "\n" for line in lines))
        return start("--aclfile", begin.path, *(["--threads", "2"] if file else []), file=file)

    begin.path = tmp_path / "users.acl"
    return begin


def listed(connection):
    return [line.decode() for line in connection.call("ACL", "LIST")]


def log_in(server, name="ada", password="secret"):
    connection = server.connect()
    assert connection.call("AUTH", name, password) == "OK"
    return connection


def start_fails(tmp_path, *args, text=None):
    """What a server says that does not start."""
    file = []
    if text is not None:
        (tmp_path / "wrong.yaml").write_text(text)
        file = [str(tmp_path / "wrong.yaml")]
    result = subprocess.run(
        [servers.pinfold_binary(), *file, "--port", str(servers.free_port()), *map(str, args)], capture_output=True, text=True, timeout=60, env=servers.environment()
    )
    assert result.returncode == 1, result
    return result.stderr


def check(tmp_path, text):
    file = tmp_path / "checked.yaml"
    file.write_text(text)
    command = [servers.pinfold_binary(), str(file), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, env=servers.environment())
    return result.returncode, (result.stdout + result.stderr).replace(str(file), "FILE")


# --- the ACL file ---


def test_the_server_starts_with_the_users_of_the_file(acl):
    server = acl(f"user ada on #{DIGEST} ~product:* resetchannels -@all +@read", "", "  user bob on >other ~* +@all (+get ~x)  ", "user off off nopass")
    with server.connect() as admin, log_in(server) as ada, log_in(server, "bob", "other") as bob:
        assert listed(admin)[0] == f"user ada on #{DIGEST} ~product:* resetchannels -@all +@read"
        assert admin.call("ACL", "USERS") == [b"ada", b"bob", b"default", b"off"]
        assert bob.call("SET", "product:1", "pen") == "OK"
        assert ada.call("GET", "product:1") == b"pen"
        assert ada.call("SET", "product:1", "x").startswith("NOPERM ")


def test_the_file_can_give_the_default_user_its_rights(acl):
    server = acl("user default on >secret ~* &* +@all", "user guest on nopass +ping")
    with server.connect() as connection:
        assert connection.call("PING") == "NOAUTH Authentication required."
        assert connection.call("AUTH", "secret") == "OK"
        assert connection.call("PING") == "PONG"


def test_save_writes_what_load_reads(acl):
    server = acl("user ada on nopass ~a* +@all")
    acl.path.chmod(0o640)
    with server.connect() as admin:
        assert admin.call("ACL", "SETUSER", "bob", "on", ">secret", "~b*", "%R~c*", "+@read", "-get", "(+set ~d*)") == "OK"
        assert admin.call("ACL", "DELUSER", "ada") == 1
        before = listed(admin)
        assert admin.call("ACL", "SAVE") == "OK"
        assert acl.path.read_text().rstrip().splitlines() == before
        assert acl.path.stat().st_mode & 0o777 == 0o640 or is_redis()
        assert os.listdir(acl.path.parent) == [acl.path.name], "nothing is left beside it"
        assert "secret" not in acl.path.read_text()
        assert admin.call("ACL", "SETUSER", "carol", "on") == "OK"
        assert admin.call("ACL", "LOAD") == "OK"
        assert listed(admin) == before
    server.stop()
    server.start()
    with server.connect() as admin:
        assert listed(admin) == before


LARGEST_USERS = {
    "databases": [[f"db={','.join(str(100_000 + 3 * i + n) for i in range(580))}" for n in (0, 1)]],
    "first arguments": [[f"+get|{n * 40 + i}{'a' * 3000}" for i in range(40)] for n in range(2)],
    "selector": [["(" + " ".join(f"+get|{i}{'a' * 3990}" for i in range(16)) + ")"]],
    "patterns": [[f"~{i}{'a' * 4000}" for i in range(8)], ["resetkeys"] + [f"%R~{i}{'b' * 4000}" for i in range(8)]],
    "passwords": [[f">{i}" for i in range(256)]],
}


@only_pinfold
@pytest.mark.parametrize("requests", LARGEST_USERS.values(), ids=LARGEST_USERS)
@pytest.mark.parametrize("kind", ["aclfile", "users"])
def test_the_server_starts_with_the_largest_users_that_it_has_saved(acl, start, tmp_path, requests, kind):
    path = tmp_path / "p.yaml"
    path.write_text("threads: 2\n")
    server = acl("user ada on nopass +@all") if kind == "aclfile" else start(file=path)
    with server.connect() as admin:
        for rules in requests:
            assert admin.call("ACL", "SETUSER", "bob", *rules) == "OK"
        before = listed(admin)
        if kind == "aclfile":
            assert admin.call("ACL", "SAVE") == "OK"
            assert admin.call("ACL", "LOAD") == "OK"
        else:
            assert admin.call("CONFIG", "REWRITE") == "OK"
        assert listed(admin) == before
    server.stop()
    server.start()
    with server.connect() as admin:
        assert listed(admin) == before


@only_pinfold
def test_a_user_that_could_not_be_loaded_again_is_refused(acl):
    server = acl("user ada on nopass +@all")
    beyond = "ERR The rules of a user can have at most 262144 bytes as ACL LIST shows them"
    with server.connect() as admin:
        replies = [admin.call("ACL", "SETUSER", "bob", *[f"+get|{n}.{i}{'a' * 3000}" for i in range(64)]) for n in range(2)]
        assert replies == ["OK", beyond]
        rule = "(" + " ".join(f"+get|{i}{'a' * 4088}" for i in range(16)) + ")"
        assert len(rule) <= 65538
        assert admin.call("ACL", "SETUSER", "carol", rule) == "ERR The rules of a selector can have at most 65536 bytes as ACL LIST shows them"
        before = listed(admin)
        acl.path.write_text(f"user bob on\nuser carol {rule}\n")
        reply = admin.call("ACL", "LOAD")
        assert reply == f"ERR {acl.path}:2: The rules of a selector can have at most 65536 bytes as ACL LIST shows them. {UNCHANGED}"
        assert listed(admin) == before
        large = "(" + " ".join(f"+get|{i}{'a' * 4060}" for i in range(16)) + ")"
        left = 262144 - len("on nopass ~* &* +@all")
        for rule in [large] * 4:
            assert admin.call("ACL", "SETUSER", "default", rule) == "OK"
            left -= len(" " + rule) + len("resetchannels -@all ")
        pad = "(+get|" + "a" * (left - len(" (resetchannels -@all +get|)")) + ")"
        assert admin.call("ACL", "SETUSER", "default", pad) == "OK"
        assert len(listed(admin)[-1]) == 262144 + len("user default ")
        assert admin.call("CONFIG", "SET", "requirepass", "secret").endswith(beyond.removeprefix("ERR ")), "its hash is one rule more"
        assert admin.call("ACL", "SAVE") == "OK"
        assert admin.call("ACL", "LOAD") == "OK"


@only_pinfold
def test_a_file_that_could_not_be_read_again_is_not_written(acl):
    """Hashes are twice as long in the file as in memory: the users may be too many for the file."""
    server = acl("user ada on nopass +@all")
    before = acl.path.read_text()
    hashes = ["#%064x" % i for i in range(256)]
    with server.connect() as admin:
        replies = admin.pipeline([("ACL", "SETUSER", f"user{i}", *hashes) for i in range(4094)])
        assert set(replies) == {"OK"}
        assert "the users take more than the 67108864 bytes that an ACL file can have" in admin.call("ACL", "SAVE")
        assert acl.path.read_text() == before
        for i in range(200):
            admin.call("ACL", "DELUSER", f"user{i}")
        assert admin.call("ACL", "SAVE") == "OK"
        assert admin.call("ACL", "LOAD") == "OK"
        assert len(admin.call("ACL", "USERS")) == 4094 - 200 + 2


@only_pinfold
def test_rules_that_no_user_takes_are_refused_before_they_are_looked_at(start):
    server = start()
    with server.connect() as admin:
        def most():
            with open(f"/proc/{server.process.pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

        size = 64 << 20
        assert admin.call("EXISTS", "x" * size) == 0
        before = most()
        for rules in ([f"(+get {'a' * size}"], [f"(+get {'a' * size})"], [">" + "a" * size], ["#" + "a" * size]):
            assert admin.call("ACL", "SETUSER", "bob", *rules) == "ERR At most 262144 bytes of rules can be applied to a user at a time"
        assert admin.call("ACL", "SETUSER", "bob", *[""] * 100_000) == "ERR At most 4096 rules can be applied to a user at a time"
        assert admin.call("ACL", "SETUSER", "bob", *["(+get"] * 4097) == "ERR At most 4096 rules can be applied to a user at a time"
        assert most() - before < size / 1024 / 2, "nothing was copied"


@only_pinfold
def test_save_makes_a_file_for_the_owner_only(acl):
    server = acl("user ada on nopass +@all")
    acl.path.unlink()
    with server.connect() as admin:
        assert admin.call("ACL", "SAVE") == "OK"
    assert acl.path.stat().st_mode & 0o777 == 0o600


@only_pinfold
def test_save_goes_through_a_link(acl, tmp_path):
    server = acl("user ada on nopass +@all")
    real = tmp_path / "real"
    acl.path.rename(real)
    acl.path.symlink_to(real)
    with server.connect() as admin:
        assert admin.call("ACL", "SETUSER", "bob") == "OK"
        assert admin.call("ACL", "SAVE") == "OK"
    assert acl.path.is_symlink() and "user bob off" in real.read_text()


@only_pinfold
def test_a_save_that_fails_leaves_the_old_file(acl, tmp_path):
    server = acl("user ada on nopass +@all")
    before = acl.path.read_text()
    with server.connect() as admin:
        admin.call("ACL", "SETUSER", "bob", *["~pattern%d" % i for i in range(500)])
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        reply = admin.call("ACL", "SAVE")
        assert reply.startswith("ERR There was an error trying to save the ACLs. ")
        assert acl.path.read_text() == before
        assert os.listdir(tmp_path) == [acl.path.name]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert admin.call("ACL", "SAVE") == "OK"
        assert len(acl.path.read_text()) > 1024


def test_load_is_all_or_nothing_and_names_each_line(acl):
    server = acl("user ada on nopass +@all")
    path = acl.path
    with server.connect() as admin:
        before = listed(admin)
        for lines, errors in [
            ("user bob on\nnonsense\nuser carol nonsense\n", [f"{path}:2 should start with user keyword followed by the username. ", f"{path}:3: Syntax error. "]),
            ("user bob on\nuser carol on +nosuch\n", [f"{path}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. "]),
            ("user bob on\nuser bob off\n", ["WARNING: Duplicate user 'bob' found on line 2. " if is_redis() else f"{path}:2: Duplicate user 'bob' found. "]),
            ("user\n", [f"{path}:1 should start with user keyword followed by the username. "]),
        ]:
            path.write_text(lines)
            assert admin.call("ACL", "LOAD") == "ERR " + "".join(errors) + UNCHANGED
            assert listed(admin) == before
        path.unlink()
        assert admin.call("ACL", "LOAD").startswith("ERR ")
        assert listed(admin) == before


@only_pinfold  # Redis 7.0 does not survive it
def test_a_selector_that_does_not_end_is_an_error_of_its_line(acl):
    server = acl("user ada on nopass +@all")
    with server.connect() as admin:
        acl.path.write_text("user bob on (+get ~a\n")
        assert admin.call("ACL", "LOAD") == f"ERR {acl.path}:1: Unmatched parenthesis in selector definition. {UNCHANGED}"


@only_pinfold
def test_load_does_not_repeat_passwords(acl):
    server = acl("user ada on nopass +@all")
    with server.connect() as admin:
        acl.path.write_text(f"user bob on >{'hunter2' * 1000}\nuser carol hunter2\nuser dan #hunter2\nuser eve (>hunter2)\n")
        reply = admin.call("ACL", "LOAD")
        assert reply.startswith("ERR ") and "hunter2" not in reply


@only_pinfold
def test_load_closes_clients_of_users_that_are_gone(acl):
    server = acl("user ada on nopass ~* +@all", "user bob on nopass ~* +@all", "user carol on nopass ~* +@all")
    with server.connect() as admin, log_in(server) as ada, log_in(server, "bob") as bob, log_in(server, "carol") as carol:
        acl.path.write_text("user bob on nopass ~a* +@all\n")
        assert admin.call("ACL", "LOAD") == "OK"
        assert ada.read_until_closed() == b""
        assert carol.read_until_closed() == b""
        assert bob.call("GET", "b").startswith("NOPERM "), "the new rights hold"
        acl.path.write_text("user ada on nopass ~* +@all\n")
        assert bob.call("ACL", "LOAD") == "OK", "who is gone itself gets the answer"
        with pytest.raises((Closed, ConnectionError)):
            bob.call("PING")


@only_pinfold
def test_a_file_without_a_default_user_leaves_it_as_it_is(start, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("user ada on nopass +@all\n")
    server = start("--aclfile", path, "--requirepass", "secret")
    with server.connect() as connection:
        assert connection.call("PING") == "NOAUTH Authentication required."
        assert connection.call("AUTH", "secret") == "OK"
        assert connection.call("ACL", "LOAD") == "OK"
    with server.connect() as connection:
        assert connection.call("PING") == "NOAUTH Authentication required."


def test_without_a_file_there_is_none_to_load_or_save(client):
    assert client.call("ACL", "LOAD").startswith(NO_FILE)
    assert client.call("ACL", "SAVE").startswith(NO_FILE)


@only_pinfold
@pytest.mark.parametrize(
    "content, error",
    [
        ("user ada on\nuser bob +nosuch\n", "PATH:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. "),
        ("users\n", "PATH:1 should start with user keyword followed by the username. "),
        ("user ada +\x1b[1mget\n", r"PATH:1: Error in applying operation '+\x1b[1mget': Unknown command or category name in ACL. "),
        (None, "Error loading ACLs, opening file 'PATH': No such file or directory"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path, content, error):
    path = tmp_path / "users.acl"
    if content is not None:
        path.write_text(content)
    assert error.replace("PATH", str(path)) in start_fails(tmp_path, "--aclfile", path)


@only_pinfold
def test_bytes_of_all_kinds_in_the_file_stop_the_start_or_are_users(acl, tmp_path):
    """The start reads the file as ACL LOAD does: --check, which is quick, is asked about some of them."""
    rng = random.Random(5)
    server = acl("user ada on nopass ~* +@all")
    checked = collections.Counter()
    with server.connect() as admin:
        for _ in range(200):
            line = b"".join(b"user %s on nopass ~a* (+get ~b) +@read\n" % name for name in (b"bob", b"carol", b"dan"))
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(len(line))
                line = line[:at] + rng.randbytes(rng.randint(0, 3)) + line[at + rng.randint(0, 2) :]
            acl.path.write_bytes(line)
            reply = admin.call("ACL", "LOAD")
            assert reply == "OK" or reply.startswith("ERR "), line
            assert admin.call("ACL", "USERS")
            expected = 0 if reply == "OK" else 1
            if checked[expected] < 10:
                status, said = check(tmp_path, f"aclfile: {acl.path}\n")
                assert status == expected, (line, reply, said)
                checked[status] += 1
        assert checked == {0: 10, 1: 10}, "some of them stop the start, and some are users"
        acl.path.write_bytes(b"user x " + b"y" * 3_000_000)
        assert admin.call("ACL", "LOAD").startswith("ERR ")
        with open(acl.path, "wb") as large:
            large.truncate(65 << 20)
        assert "is larger than" in admin.call("ACL", "LOAD")


# --- users in the settings file ---

SETTINGS = f"""\
threads: 2
users:  # who may do what
  # reads products
  ada: "on #{DIGEST} ~product:* +@read"
  bob:
    - on
    - ">with space"
    - "~*"
    - +@all
    - (+get ~x)
  gone: on nopass

# behind
timeout: 7
"""


@only_pinfold
def test_users_of_the_settings_file(start, tmp_path):
    (tmp_path / "p.yaml").write_text(SETTINGS)
    server = start(file=tmp_path / "p.yaml")
    with server.connect() as admin, log_in(server) as ada, log_in(server, "bob", "with space") as bob:
        assert admin.call("ACL", "USERS") == [b"ada", b"bob", b"default", b"gone"]
        assert admin.call("CONFIG", "GET", "timeout") == [b"timeout", b"7"]
        assert bob.call("SET", "product:1", "pen") == "OK"
        assert ada.call("GET", "product:1") == b"pen"
        assert ada.call("GET", "other").startswith("NOPERM ")


@only_pinfold
def test_rewrite_changes_the_lines_of_users_that_changed_and_no_others(start, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(SETTINGS)
    server = start(file=path)
    with server.connect() as admin:
        assert admin.call("CONFIG", "REWRITE") == "OK"
        unchanged = path.read_text()
        assert unchanged.split("# behind")[0] == SETTINGS.split("# behind")[0]
        admin.call("ACL", "SETUSER", "bob", "-set")
        admin.call("ACL", "DELUSER", "gone")
        admin.call("ACL", "SETUSER", "new", "on", ">secret", '~a"b', "~#c")
        assert admin.call("CONFIG", "REWRITE") == "OK"
        text = path.read_text()
        bob = hashlib.sha256(b"with space").hexdigest()
        assert text.split("# behind")[0] == SETTINGS.split("  bob:")[0] + (
            f'  bob: "on #{bob} ~* resetchannels +@all -set (~x resetchannels -@all +get)"\n'
            f'  new: "on #{DIGEST} ~a\\"b ~#c resetchannels -@all"\n\n'
        )
        assert "secret" not in text
        assert admin.call("CONFIG", "REWRITE") == "OK"
        assert path.read_text() == text
        before = listed(admin)
    server.stop()
    server.start()
    with server.connect() as admin:
        assert listed(admin) == before


@only_pinfold
def test_rewrite_adds_users_to_a_file_that_has_none(start, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("threads: 2\n# end\n")
    server = start(file=path)
    with server.connect() as admin:
        admin.call("ACL", "SETUSER", "ada", "on", ">secret", "~a", "+get")
        admin.call("CONFIG", "SET", "requirepass", "open sesame")
        assert admin.call("CONFIG", "REWRITE") == "OK"
        text = path.read_text()
        assert f'users:\n  ada: "on #{DIGEST} ~a resetchannels -@all +get"\n' in text
        assert "default" not in text, "requirepass says it all"
        admin.call("ACL", "SETUSER", "default", "-flushall")
        assert admin.call("CONFIG", "REWRITE") == "OK"
        assert re.search(r'^  default: "on #[0-9a-f]{64} ~\* &\* \+@all -flushall"$', path.read_text(), re.MULTILINE)
    server.stop()
    assert check(tmp_path, path.read_text())[0] != 1


@only_pinfold
def test_rewrite_writes_users_whose_names_are_long_or_no_text(start, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("threads: 2\n")
    server = start(file=path)
    names = [b'"' * 1000, b"n" * 1024, b"\\" * 511 + b"a", b"\xff\xfe", b"\x01" * 300, b":"]
    with server.connect() as admin:
        for name in names:
            assert admin.call("ACL", "SETUSER", name, "on") == "OK"
        assert admin.call("CONFIG", "REWRITE") == "OK"
        admin.call("ACL", "SETUSER", names[0], "+get")
        admin.call("ACL", "DELUSER", names[4])
        assert admin.call("CONFIG", "REWRITE") == "OK"
        before = admin.call("ACL", "LIST")
    server.stop()
    server.start()
    with server.connect() as admin:
        assert admin.call("ACL", "LIST") == before


@only_pinfold
def test_rewrite_refuses_a_form_that_it_cannot_change(start, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("threads: 2\nusers: {ada: on nopass, bob: off}\n")
    server = start(file=path)
    with server.connect() as admin:
        assert admin.call("CONFIG", "REWRITE") == "OK"
        before = path.read_text()
        assert before == f"threads: 2\nusers: {{ada: on nopass, bob: off}}\nport: {server.port}\n"
        admin.call("ACL", "SETUSER", "ada", "off")
        assert admin.call("CONFIG", "REWRITE").startswith(f"ERR Rewriting config file: cannot change {path}, because not all values are on lines of their own: ")
        assert path.read_text() == before


@only_pinfold
def test_users_of_the_acl_file_are_not_written_to_the_settings_file(acl, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(f"threads: 2\naclfile: {acl.path}\n")
    server = acl("user ada on nopass +@all", file=path)
    with server.connect() as admin:
        admin.call("ACL", "SETUSER", "bob")
        assert admin.call("CONFIG", "REWRITE") == "OK"
        assert "bob" not in path.read_text() and "users:" not in path.read_text()


@only_pinfold
@pytest.mark.parametrize(
    "text, error",
    [
        ("users:\n  ada: on +nosuch\n", ":2: user 'ada': Error in applying operation '+nosuch': Unknown command or category name in ACL"),
        ("users:\n  bob: off\n  ada: nonsense\n", ":3: user 'ada': Syntax error"),
        ("users:\n  ada: (+get\n", ":2: user 'ada': Unmatched parenthesis in selector definition"),
        ("users:\n  a b: on\n", ":2: 'a b' cannot be the name of a user"),
        ('users:\n  "a\\nb": on\n', r":2: 'a\nb' cannot be the name of a user"),
        ('users:\n  ada: "+\\eget"\n', r":2: user 'ada': Error in applying operation '+\x1bget': Unknown command or category name in ACL"),
        ("users:\n  ada: on\n  ada: off\n", ":3: user 'ada' is there twice"),
        ("users: [ada]\n", ":1: 'users' must be lines of the form 'name: rules'"),
        ("users:\n  ada: {on: off}\n", ":2: the rules of user 'ada' must be a text or a list of texts"),
        ("users:\n  ada:\n    - [on]\n", ":3: a rule of a user must be a text: put it in quotes"),
        ("users:\n  ada:\n    - ~*\n    - !~secret:* +@all\n", ":4: a tag, an anchor or an alias of YAML: put a text that begins with !, & or * in quotes"),
        ("users:\n  ada: on ~* #5e88 !~secret:*\n", ":2: YAML takes '#' for a comment here: put the text in quotes, or a space after the '#'"),
        ("users:\nusers:\n", ":2: 'users' is set twice"),
        ("user: x\n", ":1: unknown setting 'user' (did you mean 'users'?)"),
        ("aclfile: /x\nusers:\n  ada: on\n", ":3: there are users in the settings file and an ACL file (aclfile): only one of them may have users"),
    ],
)
def test_wrong_users_in_the_settings_file_stop_the_start(tmp_path, text, error):
    path = tmp_path / "wrong.yaml"
    assert f"{path}{error}" in start_fails(tmp_path, text=text)
    assert check(tmp_path, text) == (1, f"pinfold-server: FILE{error}\n")


@only_pinfold
def test_check_counts_users_and_looks_at_the_acl_file(tmp_path):
    acl = tmp_path / "users.acl"
    acl.write_text("user ada on nopass +@all\nuser bob off\n")
    assert check(tmp_path, f"aclfile: {acl}\n") == (0, "FILE: 0 policies, 2 users, 0 warnings\n")
    assert check(tmp_path, "users:\n  ada: on\n") == (0, "FILE: 0 policies, 1 users, 0 warnings\n")
    acl.write_text("user ada nonsense\n")
    assert check(tmp_path, f"aclfile: {acl}\n") == (1, f"pinfold-server: {acl}:1: Syntax error. {UNCHANGED}\n")
    open_ = "bind: 0.0.0.0\n"
    assert check(tmp_path, open_)[0] == 2
    assert check(tmp_path, open_ + 'users:\n  default: "on >secret ~* +@all"\n')[0] == 0


@only_pinfold
def test_acl_pubsub_default(start):
    server = start()
    with server.connect() as admin:
        admin.call("ACL", "SETUSER", "ada")
        assert admin.call("CONFIG", "SET", "acl-pubsub-default", "allchannels") == "OK"
        admin.call("ACL", "SETUSER", "bob")
        admin.call("ACL", "SETUSER", "ada", "on")
        assert listed(admin)[:2] == ["user ada on resetchannels -@all", "user bob off &* -@all"]
        admin.call("ACL", "SETUSER", "ada", "reset", "(+get)")
        assert listed(admin)[0] == "user ada off sanitize-payload &* -@all (&* -@all +get)"
