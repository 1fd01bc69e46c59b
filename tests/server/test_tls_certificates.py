"""Certificates of clients: who is let in, and as which user."""

import contextlib
import functools
import re
import ssl
import subprocess

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support import audit, tls
from tests.support.connection import Closed
from tests.support.servers import eventually
from tests.support.tls import DAY, HOUR, client_context

from .conftest import info, only_pinfold

PASSWORD = "s3cret"


def answer(server, **how):
    """What PING is answered; None if the client is not let in at all."""
    try:
        with server.connect(**how) as connection:
            return connection.call("PING")
    except (ssl.SSLError, Closed, ConnectionError):
        return None


# --- who is let in ---


@pytest.fixture(scope="module")
def asking(authority):
    """asking(value): a server with this tls-auth-clients, the same for all tests that change nothing of it."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda value: stack.enter_context(tls.pinfold(authority=authority, ask=value)))


@pytest.fixture(scope="module")
def required(asking):
    return asking("yes")


def test_by_default_a_certificate_is_asked_of_every_client(authority):
    """As in Redis."""
    with tls.pinfold(authority=authority, ask=None) as server:
        assert answer(server) is None
        assert answer(server, certificate=authority.client("someone")) == "PONG"
        with server.connect_plain() as admin:
            assert admin.call("CONFIG", "GET", "tls-auth-clients") == [b"tls-auth-clients", b"yes"]


def test_without_a_certificate_nobody_is_let_in(required, authority, version):
    assert answer(required, context=client_context(authority, versions=version)) is None
    certificate = authority.client("someone")
    assert answer(required, context=client_context(authority, certificate, version)) == "PONG"


WRONG = {
    "another authority's": lambda authority, stranger: stranger.client("someone"),
    "self-signed": lambda authority, stranger: authority.issue("someone", self_signed=True),
    "expired": lambda authority, stranger: authority.client("someone", begins=-2 * DAY, ends=-HOUR),
    "not yet valid": lambda authority, stranger: authority.client("someone", begins=DAY, ends=2 * DAY),
    "of a server": lambda authority, stranger: authority.issue("someone", usage=ExtendedKeyUsageOID.SERVER_AUTH),
}


@pytest.mark.parametrize("ask", ["optional", "yes"])
@pytest.mark.parametrize("what", WRONG)
def test_a_certificate_that_is_wrong_is_refused(asking, authority, stranger, version, ask, what):
    """Where it is optional too: who shows one is to be believed or not at all."""
    server = asking(ask)
    context = client_context(authority, WRONG[what](authority, stranger), version)
    for _ in range(2):
        assert answer(server, context=context) is None
    assert answer(server, certificate=authority.client("someone")) == "PONG"
    with server.connect_plain() as admin:
        eventually(lambda: info(admin, "clients")["connected_clients"] == "1")


def test_where_it_is_optional_both_are_let_in(asking, authority, version):
    server = asking("optional")
    assert answer(server, context=client_context(authority, versions=version)) == "PONG"
    assert answer(server, context=client_context(authority, authority.client("someone"), version)) == "PONG"


def test_where_none_is_asked_for_none_is_looked_at(asking, authority, stranger, version):
    server = asking("no")
    for certificate in (None, authority.client("someone"), stranger.client("someone")):
        assert answer(server, context=client_context(authority, certificate, version)) == "PONG"


def test_the_setting_can_be_changed_at_run_time_and_who_is_connected_stays(start_tls, authority, version):
    server = start_tls(ask="no")
    context = client_context(authority, versions=version)
    with server.connect_plain() as admin, server.connect(context=context) as early:
        assert early.call("PING") == "PONG"
        assert admin.call("CONFIG", "SET", "tls-auth-clients", "yes") == "OK"
        assert answer(server, context=context) is None
        assert answer(server, certificate=authority.client("someone")) == "PONG"
        assert admin.call("CONFIG", "SET", "tls-auth-clients", "no") == "OK"
        assert answer(server, context=context) == "PONG"
        assert early.call("PING") == "PONG"


def test_redis_cli_with_a_certificate(required, authority):
    certificate = authority.client("someone")
    client = ["redis-cli", "-p", str(required.tls_port), "--tls", "--cacert", authority.cert]
    shown = [*client, "--cert", certificate.cert, "--key", certificate.key, "SET", "cli", "x"]
    assert subprocess.run(shown, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "OK"
    hidden = subprocess.run([*client, "PING"], capture_output=True, text=True, timeout=60)
    assert "PONG" not in hidden.stdout and hidden.returncode != 0


@only_pinfold
def test_a_refused_certificate_is_seen_by_the_operator(start_tls, authority, stranger):
    server = start_tls(ask="yes")
    assert answer(server, certificate=stranger.client("someone")) is None
    eventually(lambda: re.search(r"TLS.*(certificate|verify)|(certificate|verify).*TLS", server.log()))


# --- as which user ---


USER = "default"
NAMED = {"CN": lambda issue, name: issue(name), "URI": lambda issue, name: issue(uris=[name]), "DNS": lambda issue, name: issue(dns=[name])}


@pytest.fixture
def guarded(start_tls):
    """guarded(field, ...): a server that asks for a password unless a certificate names the user in that field."""
    return lambda field, *args, **options: start_tls(*guards(field), *args, **({"ask": "optional"} | options))


@pytest.fixture(scope="module")
def naming(authority):
    """naming(field): a guarded server, the same for all tests that change nothing of it."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda field: stack.enter_context(tls.pinfold(*guards(field), authority=authority, ask="optional")))


def guards(field):
    return "--requirepass", PASSWORD, "--tls-auth-clients-user", field


def user(server, **how):
    """Who the client is without a password; None: nobody."""
    with server.connect(**how) as connection:
        if str(said := connection.call("PING")).startswith("NOAUTH"):
            return None
        assert said == "PONG"
        return re.search(rb" user=(\S+)", connection.call("CLIENT", "INFO"))[1].decode()


def admin_of(server):
    connection = server.connect_plain()
    assert connection.call("AUTH", PASSWORD) == "OK"
    return connection


@only_pinfold
@pytest.mark.parametrize("field", NAMED)
def test_a_certificate_names_its_user(naming, authority, version, field):
    server = naming(field)
    assert user(server, context=client_context(authority, NAMED[field](authority.client, USER), version)) == USER
    # Who shows none, or one that names nobody, may still use the password.
    for certificate in (None, authority.client("nobody")):
        with server.connect(context=client_context(authority, certificate, version)) as connection:
            assert connection.call("PING").startswith("NOAUTH")
            assert connection.call("AUTH", PASSWORD) == "OK"


@only_pinfold
def test_by_default_no_certificate_names_a_user(start_tls, authority):
    server = start_tls("--requirepass", PASSWORD, ask="yes")
    assert user(server, certificate=authority.client(USER, dns=[USER], uris=[USER])) is None


@only_pinfold
@pytest.mark.parametrize("field", NAMED)
def test_only_the_field_that_was_chosen_is_looked_at(naming, authority, field):
    server = naming(field)
    for other in NAMED:
        if other != field:
            assert user(server, certificate=NAMED[other](authority.client, USER)) is None, other


# None of them may be anybody: not the user that is in it, and not the default user.
MISLEADING = {
    ("CN", "a NUL after the name"): lambda issue: issue(USER + "\0.evil.example"),
    ("CN", "a NUL before the name"): lambda issue: issue("\0" + USER),
    ("CN", "two names"): lambda issue: issue(USER, "nobody"),
    ("CN", "two names, the other first"): lambda issue: issue("nobody", USER),
    ("CN", "the same name twice"): lambda issue: issue(USER, USER),
    ("CN", "a wildcard"): lambda issue: issue("*"),
    ("CN", "a wildcard in the name"): lambda issue: issue("def*"),
    ("CN", "capitals"): lambda issue: issue(USER.upper()),
    ("CN", "spaces around it"): lambda issue: issue(f" {USER} "),
    ("CN", "a line break"): lambda issue: issue(USER + "\n"),
    ("CN", "a part of the name"): lambda issue: issue(USER[:-1]),
    ("CN", "none"): lambda issue: issue(dns=["somewhere.example"]),
    ("DNS", "a NUL after the name"): lambda issue: issue("x", dns=[USER + "\0.evil.example"]),
    ("DNS", "a second name with a NUL"): lambda issue: issue("x", dns=[USER, "nobody\0"]),
    ("DNS", "a second name that is a wildcard"): lambda issue: issue("x", dns=[USER, "*.example"]),
    ("DNS", "a wildcard"): lambda issue: issue("x", dns=["*"]),
    ("DNS", "a wildcard of a domain"): lambda issue: issue("x", dns=["*.example"]),
    ("DNS", "none"): lambda issue: issue(USER),
    ("URI", "a NUL after the name"): lambda issue: issue("x", uris=[USER + "\0evil"]),
    ("URI", "a second name with a NUL"): lambda issue: issue("x", uris=["urn:nobody\0", USER]),
    ("URI", "a wildcard"): lambda issue: issue("x", uris=["*"]),
    ("URI", "a longer one"): lambda issue: issue("x", uris=["urn:" + USER]),
    ("URI", "none"): lambda issue: issue(USER, dns=[USER]),
}


@only_pinfold
@pytest.mark.parametrize("field, what", MISLEADING, ids=[f"{field}: {what}" for field, what in MISLEADING])
def test_a_certificate_that_could_be_read_in_two_ways_names_nobody(naming, authority, field, what):
    certificate = MISLEADING[field, what](authority.client)
    server = naming(field)
    try:
        assert user(server, certificate=certificate) is None
    except (ssl.SSLError, Closed, ConnectionError):
        pass  # not to be let in at all is as good
    assert user(server, certificate=NAMED[field](authority.client, USER)) == USER


@only_pinfold
def test_a_certificate_that_names_nobody_is_not_the_user_that_needs_no_password(start_tls, authority):
    """Without a password everybody is the default user; that a certificate was misread must not be seen only when there is one."""
    server = start_tls("--tls-auth-clients-user", "CN", ask="yes")
    assert user(server, certificate=authority.client(USER)) == USER


@only_pinfold
def test_a_wrong_certificate_names_nobody_whatever_its_name(guarded, authority, stranger):
    server = guarded("CN")
    assert answer(server, certificate=stranger.client(USER)) is None
    assert answer(server, certificate=authority.issue(USER, self_signed=True)) is None


@only_pinfold
def test_where_no_certificate_is_asked_for_none_names_a_user(guarded, authority):
    server = guarded("CN", ask="no")
    assert user(server, certificate=authority.client(USER)) is None


@only_pinfold
def test_a_resumed_session_is_of_the_same_user(guarded, authority, version):
    server = guarded("CN", ask="yes")
    context = client_context(authority, authority.client(USER), version)
    with server.connect(context=context) as first:
        assert first.call("PING") == "PONG"
        session = first.session
    with server.connect(context=context, session=session) as second:
        assert second.call("PING") == "PONG" and second.socket.session_reused
        assert b" user=default " in second.call("CLIENT", "INFO")


@only_pinfold
def test_the_field_can_be_changed_at_run_time(guarded, authority):
    server = guarded("off")
    certificate = authority.client(USER)
    with admin_of(server) as admin:
        for field, expected in (("off", None), ("CN", USER), ("URI", None), ("CN", USER), ("off", None)):
            assert admin.call("CONFIG", "SET", "tls-auth-clients-user", field) == "OK"
            assert user(server, certificate=certificate) == expected


@only_pinfold
def test_the_audit_log_tells_who_a_certificate_was(guarded, authority, stranger, tmp_path):
    path = tmp_path / "audit"
    server = guarded("CN", "--audit-log-file", path)
    assert user(server, certificate=authority.client(USER)) == USER
    assert user(server, certificate=authority.client(USER + "\0\"\n{")) is None
    assert answer(server, certificate=stranger.client(USER)) is None

    eventually(lambda: len(audit.events(path, "connection-closed")) >= 4)
    (welcome,) = audit.events(path, "auth-ok")
    assert welcome["user"] == USER and welcome["by"] == "certificate"
    (refused,) = audit.events(path, "auth-failed")
    assert refused["user"] == "(unknown)" and refused["by"] == "certificate" and "NUL" in refused["reason"]
    assert "names" not in refused and "names" not in welcome
    assert [line for line in audit.events(path, "connection-closed") if "handshake" in line["reason"] and "certificate" in line["reason"]]


@only_pinfold
def test_the_names_that_authenticate_nobody_are_told(guarded, authority, tmp_path):
    path = tmp_path / "audit"
    server = guarded("DNS", "--audit-log-file", path)
    assert user(server, certificate=authority.issue(dns=["web-1.example.org"])) is None
    assert user(server, certificate=authority.issue(dns=["a" * 60 + ".b" + "c" * 30, "two", "three", "four", "five"])) is None
    one, several = eventually(lambda: (found := audit.events(path, "auth-failed", by="certificate")) and len(found) == 2 and found)
    assert one["user"] == several["user"] == "(unknown)" and one["reason"] == "no user has a name that its certificate has"
    assert one["names"] == '"web-1.example.org"'
    assert several["names"] == f'"{"a" * 60}.bcc"..., "two", "three" and 2 more'
    for line in (one, several):
        eventually(lambda: f"authenticates nobody (tls-auth-clients-user): {line['reason']}: {line['names']}" in server.log())


# --- users of ACL ---


@pytest.fixture
def users(guarded):
    """A server with further users, if it has any: users(field)."""

    def start(field, *rules):
        server = guarded(field)
        with admin_of(server) as admin:
            if not admin.call("COMMAND", "INFO", "acl")[0]:
                pytest.skip("comes with ACL")
            for rule in rules:
                assert admin.call("ACL", "SETUSER", *rule.split()) == "OK"
        return server

    return start


@only_pinfold
def test_a_certificate_names_any_user_and_its_rights_hold(users, authority, version):
    server = users("CN", "reader on ~* +get +client +ping", "writer on ~* +@all")
    with server.connect(context=client_context(authority, authority.client("reader"), version)) as reader:
        assert reader.call("SET", "k", "v").startswith("NOPERM")
        assert reader.call("GET", "k") is None
    assert user(server, certificate=authority.client("writer")) == "writer"


@only_pinfold
def test_a_user_that_is_off_is_not_logged_in_by_its_certificate(users, authority):
    server = users("CN", "app on ~* +@all")
    certificate = authority.client("app")
    with admin_of(server) as admin:
        assert user(server, certificate=certificate) == "app"
        assert admin.call("ACL", "SETUSER", "app", "off") == "OK"
        assert user(server, certificate=certificate) is None
        assert admin.call("ACL", "SETUSER", "app", "on") == "OK"
        assert user(server, certificate=certificate) == "app"


@only_pinfold
def test_a_user_that_is_deleted_is_closed_and_not_logged_in_again(users, authority, version):
    server = users("CN", "app on ~* +@all")
    context = client_context(authority, authority.client("app"), version)
    with admin_of(server) as admin, server.connect(context=context) as connected:
        assert connected.call("PING") == "PONG"
        session = connected.session
        assert admin.call("ACL", "DELUSER", "app") == 1
        with pytest.raises((Closed, ssl.SSLError, ConnectionError)):
            connected.call("PING")
        # Nor by resuming what was begun while it was there.
        assert user(server, context=context, session=session) is None


@only_pinfold
@pytest.mark.parametrize("field, names", [("DNS", ("a.example", "b.example")), ("URI", ("urn:a", "urn:b"))])
def test_of_several_alternative_names_one_may_be_a_user(users, authority, field, names):
    """Services have several names. With those of two users it is not said which is meant."""
    one, other = names
    server = users(field, f"{one} on ~* +@all")
    issue = {"DNS": lambda *names: authority.client("x", dns=names), "URI": lambda *names: authority.client("x", uris=names)}[field]
    assert user(server, certificate=issue(one, other)) == user(server, certificate=issue(other, one)) == one
    with admin_of(server) as admin:
        assert admin.call("ACL", "SETUSER", other, "on", "~*", "+@all") == "OK"
    assert user(server, certificate=issue(one, other)) is None


@only_pinfold
@pytest.mark.parametrize("field, name", [("URI", "spiffe://example.org/ns/prod/sa/app"), ("DNS", "app.prod.example.org")])
def test_names_of_services_are_names_of_users(users, authority, field, name):
    server = users(field, f"{name} on ~* +@all")
    assert user(server, certificate=NAMED[field](authority.client, name)) == name
    assert user(server, certificate=NAMED[field](authority.client, name + "x")) is None
