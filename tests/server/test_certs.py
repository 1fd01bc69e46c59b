"""scripts/certs makes what the README starts a server with."""

import ipaddress
import os
import pathlib
import re
import shlex
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.support import servers
from tests.support.servers import eventually, is_redis

SCRIPT = servers.ROOT / "scripts/certs"
MADE = ["ca.crt", "ca.key", "client.crt", "client.key", "server.crt", "server.key"]


def certs(*args):
    return subprocess.run([SCRIPT, *map(str, args)], capture_output=True, text=True, timeout=60)


def certificate(path):
    return x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes())


def alternatives(path):
    found = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName), found.get_values_for_type(x509.IPAddress)


@pytest.mark.parametrize("option, kind", [([], ec.EllipticCurvePublicKey), (["--rsa"], rsa.RSAPublicKey)], ids=["P-256", "RSA"])
def test_it_makes_an_authority_a_server_and_a_client(tmp_path, option, kind):
    folder = tmp_path / "a folder"
    done = certs(*option, "--days", 3, folder, "cache.example", "192.0.2.7", "2001:db8::1")
    assert done.returncode == 0, done
    assert sorted(path.name for path in folder.iterdir()) == MADE
    for name in MADE:
        assert f"{folder}/{name}\n" in done.stdout
        if name.endswith(".key"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        else:
            found = certificate(folder / name)
            assert isinstance(found.public_key(), kind)
            assert (found.not_valid_after - found.not_valid_before).days == 3
    names, addresses = alternatives(folder / "server.crt")
    assert names == ["localhost", "cache.example"]
    assert addresses == [ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", "192.0.2.7", "2001:db8::1")]
    assert certificate(folder / "client.crt").subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "client"
    for name, purpose in (("server.crt", "sslserver"), ("client.crt", "sslclient")):
        subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / "ca.crt", folder / name], check=True, capture_output=True)


@pytest.mark.parametrize("name", MADE)
def test_it_overwrites_nothing(tmp_path, name):
    (tmp_path / name).write_text("mine")
    done = certs(tmp_path)
    assert done.returncode == 1 and name in done.stderr and not done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_one_that_somebody_else_makes_meanwhile_stays_and_nothing_else(tmp_path):
    """A chmod in front of the real one makes it, between the look and the move."""
    folder, tools = tmp_path / "certs", tmp_path / "tools"
    tools.mkdir()
    (tools / "chmod").write_text(f'#!/bin/sh\necho theirs >"{folder}/client.crt"\nexec /bin/chmod "$@"\n')
    (tools / "chmod").chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run([SCRIPT, folder], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1 and f"{folder}/client.crt is already there" in done.stderr and not done.stdout
    assert [path.name for path in folder.iterdir()] == ["client.crt"] and (folder / "client.crt").read_text() == "theirs\n"


def test_one_more_client_has_its_own_name_and_the_same_authority(tmp_path):
    assert certs(tmp_path / "new").returncode == 0
    authority = (tmp_path / "new/ca.crt").read_bytes()
    done = certs("--client", "shop-1.x", tmp_path / "new")
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{tmp_path}/new/shop-1.x.crt", f"{tmp_path}/new/shop-1.x.key"]
    made = tmp_path / "new/shop-1.x.crt"
    assert certificate(made).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "shop-1.x"
    subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", tmp_path / "new/ca.crt", made], check=True, capture_output=True)
    assert stat.S_IMODE((tmp_path / "new/shop-1.x.key").stat().st_mode) == 0o600
    assert (tmp_path / "new/ca.crt").read_bytes() == authority
    before = made.read_bytes()
    for name in ("shop-1.x", "server", "ca"):
        done = certs("--client", name, tmp_path / "new")
        assert done.returncode == 1 and f"{name}.crt is already there" in done.stderr
    assert made.read_bytes() == before and len(list((tmp_path / "new").iterdir())) == len(MADE) + 2


def test_one_more_client_needs_an_authority(tmp_path):
    done = certs("--client", "shop", tmp_path / "new")
    assert done.returncode == 1 and "ca.crt" in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.", "1::2::3", ":::", "1:2:3", "1:2:3:4:5:6:7:8:9", "12345::", ":1::2", "g::", "::1.2.3"])
def test_an_address_that_is_none_is_named(tmp_path, address):
    done = certs(tmp_path / "new", address)
    assert done.returncode == 2 and f"'{address}' is not an address" in done.stderr and not list(tmp_path.iterdir())


def test_addresses_of_every_form(tmp_path):
    given = ["0.0.0.0", "255.249.100.9", "::", "1::", "::1:2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "fe80::ABCD", "::ffff:192.0.2.1", "1:2:3:4:5:6:1.2.3.4"]
    assert certs(tmp_path / "new", *given).returncode == 0
    assert alternatives(tmp_path / "new/server.crt")[1][2:] == [ipaddress.ip_address(address) for address in given]


@pytest.mark.parametrize("args", [[], ["--nosuch"], ["--days", "0", "x"], ["--days", "x", "x"], ["x", "a,DNS:b"], ["x", "a\nb"], ["x", "a b"],
                                  ["--client", "", "x"], ["--client", "a/b", "x"], ["--client", "-a", "x"], ["--client", "a,CN=b", "x"], ["--client", "a", "x", "host"]])  # fmt: skip
def test_a_wrong_call_makes_nothing(tmp_path, args):
    done = certs(*[str(tmp_path / "new") if arg == "x" else arg for arg in args])
    assert done.returncode == 2 and done.stderr and not list(tmp_path.iterdir())


def test_the_lines_that_it_prints_start_a_server_and_reach_it(tmp_path):
    folder = tmp_path / "with a space"
    server_line, client_line = certs(folder).stdout.splitlines()[-2:]
    port = str(servers.free_port())
    program, *settings = [port if word == "6380" else word for word in shlex.split(server_line)]
    assert program == "pinfold-server"
    with servers.pinfold(*settings) as server:
        # Redis and Pinfold ask for a client's certificate by default.
        client = [port if word == "6380" else word for word in shlex.split(client_line)]
        assert subprocess.run([*client, "PING"], capture_output=True, text=True, timeout=60).stdout == "PONG\n"
        if not is_redis():
            eventually(lambda: re.search(rf"\b{port}\b", server.log()))
