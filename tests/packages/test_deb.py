"""The Debian package that scripts/package makes of build/release: what is in it, what it needs, and that its server and its unit work where they are put.

tests/packages/test_deb_installs.py installs it.
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from tests.support import servers

ROOT = servers.ROOT
VERSION = re.search(r"^project\(pinfold VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
missing = [command for command in ("cpack", "dpkg-deb", "dpkg-shlibdeps") if not shutil.which(command)]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (scripts/setup package)")


def ask(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return pathlib.Path(ask(ROOT / "scripts/package", "--built", tmp_path_factory.mktemp("deb")).strip())


@pytest.fixture(scope="module")
def files(deb, tmp_path_factory):
    """Where its files are unpacked."""
    folder = tmp_path_factory.mktemp("files")
    ask("dpkg-deb", "--extract", deb, folder)
    return folder


@pytest.fixture(scope="module")
def control(deb, tmp_path_factory):
    """Where its control files are unpacked."""
    folder = tmp_path_factory.mktemp("control") / "control"
    ask("dpkg-deb", "--control", deb, folder)
    return folder


def test_its_name_says_what_it_is(deb):
    machine = ask("dpkg", "--print-architecture").strip()
    assert deb.name == f"pinfold_{VERSION}-1_{machine}.deb"
    fields = dict(re.findall(r"^([\w-]+): (.*)$", ask("dpkg-deb", "--info", deb, "control"), re.MULTILINE))
    assert (fields["Package"], fields["Version"], fields["Architecture"]) == ("pinfold", f"{VERSION}-1", machine)
    assert len(fields["Description"]) <= 80 and fields["Section"] == "database" and fields["Priority"] == "optional"


def test_the_changelog_is_of_this_version():
    assert (ROOT / "config/debian/changelog").read_text().startswith(f"pinfold ({VERSION}-1) ")


def test_it_depends_on_the_libraries_that_the_image_installs_too(deb):
    depends = {word.strip().split(" ")[0] for word in ask("dpkg-deb", "--field", deb, "Depends").split(",")}
    # Debian's name for libspdlog1.10 and the form of its interface.
    depends = {"libspdlog1.10" if name == "libspdlog1.10-fmt9" else name for name in depends}
    of_image = set(" ".join(re.findall(r"^ {8}(lib.*) \\$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)).split())
    assert of_image and of_image <= depends
    assert {"libc6", "libstdc++6", "adduser"} <= depends


def test_its_files_are_where_debian_has_them(files):
    for name in (
        "usr/bin/pinfold-server",
        "lib/systemd/system/pinfold.service",
        "etc/pinfold/pinfold.yaml",
        "usr/share/pinfold/roles.yaml",
        "usr/share/pinfold/seccomp.json",
        "usr/share/doc/pinfold/README.md",
        "usr/share/doc/pinfold/docs/configuration.md",
        "usr/share/doc/pinfold/copyright",
        "usr/share/doc/pinfold/changelog.Debian.gz",
    ):
        assert (files / name).is_file(), name
    assert {path.name for path in files.iterdir()} == {"etc", "lib", "usr"}
    assert {path.name for path in (files / "usr").iterdir()} == {"bin", "share"}
    for name in ("prometheus", "grafana"):
        assert (files / "usr/share/pinfold" / name).exists() == (ROOT / "config" / name).exists()
    if (ROOT / "config/prometheus").exists():
        assert not (files / "usr/share/pinfold/prometheus/tests").exists()
        assert (files / "usr/share/pinfold/prometheus/rules/alerts.yml").is_file()


def test_its_files_belong_to_root_and_give_no_rights(deb):
    """As the package says, which is not what unpacking it as another user makes of it."""
    for line in ask("dpkg-deb", "--contents", deb).splitlines():
        mode, owner, *_, name = line.split()
        assert owner == "root/root" and not re.search("[sStT]", mode) and mode[8] == "-", line
        if mode[0] == "-":
            expected = {"./usr/bin/pinfold-server": "-rwxr-xr-x", "./etc/pinfold/pinfold.yaml": "-rw-------"}.get(name, "-rw-r--r--")
            assert mode == expected, line
        else:
            assert mode == "drwxr-xr-x", line


def test_the_settings_are_kept_when_it_is_upgraded(control, files):
    assert (control / "conffiles").read_text().split() == ["/etc/pinfold/pinfold.yaml"]
    assert {f"/{path.relative_to(files)}" for path in (files / "etc").rglob("*") if path.is_file()} == {"/etc/pinfold/pinfold.yaml"}
    assert (files / "etc/pinfold/pinfold.yaml").read_bytes() == (ROOT / "config/pinfold.yaml").read_bytes()


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_its_scripts_are_sound(control, name):
    script = control / name
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert script.read_text().startswith("#!/bin/sh\n") and "\nset -e\n" in script.read_text()
    ask("sh", "-n", script)


class Postinst:
    """The package's postinst on a copy of /etc/pinfold. What would change the machine is replaced; of chown, the arguments are kept."""

    def __init__(self, control, folder):
        self.etc, self.stubs, self.script = folder / "etc", folder / "stubs", folder / "postinst"
        self.etc.mkdir()
        self.etc.chmod(0o755)
        self.stubs.mkdir()
        for name in ("adduser", "deb-systemd-helper", "deb-systemd-invoke", "systemctl"):
            self._stub(name, "exit 0")
        self._stub("dpkg-statoverride", f'grep -qx "$2" {folder}/overridden 2>/dev/null')
        self._stub("chown", f'echo "$@" >> {folder}/chown')
        self.overridden, self.chown = folder / "overridden", folder / "chown"
        self.script.write_text((control / "postinst").read_text().replace("/etc/pinfold", str(self.etc)))

    def _stub(self, name, text):
        (self.stubs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.stubs / name).chmod(0o755)

    def run(self, *arguments):
        """The files whose owner it has set."""
        self.chown.write_text("")
        subprocess.run(["/bin/sh", self.script, *arguments], env={"PATH": f"{self.stubs}:/usr/bin:/bin"}, check=True)
        return [pathlib.Path(line.split()[-1]).name for line in self.chown.read_text().splitlines() if line.startswith("-h root:pinfold ")]

    def mode(self, path):
        return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def postinst(control, tmp_path):
    return Postinst(control, tmp_path)


def test_the_first_installation_lets_the_group_read(postinst):
    settings = postinst.etc / "pinfold.yaml"
    settings.write_text("")
    settings.chmod(0o600)
    assert postinst.run("configure", "") == ["etc", "pinfold.yaml"]
    assert (postinst.mode(postinst.etc), postinst.mode(settings)) == (0o750, 0o640)


def test_it_follows_no_link_that_the_server_has_made(postinst, tmp_path):
    secret = tmp_path / "shadow"
    secret.write_text("")
    secret.chmod(0o600)
    (postinst.etc / "pinfold.yaml").symlink_to(secret)
    for version in ("", "0.0.1-1"):
        assert "pinfold.yaml" not in postinst.run("configure", version)
        assert postinst.mode(secret) == 0o600


@pytest.mark.parametrize("arguments", [("configure", "0.0.1-1"), ("abort-upgrade", "0.0.1-1"), ("abort-remove",)])
def test_later_it_leaves_the_rights_as_they_are(postinst, arguments):
    """As CONFIG REWRITE needs them."""
    settings = postinst.etc / "pinfold.yaml"
    settings.write_text("")
    settings.chmod(0o660)
    postinst.etc.chmod(0o770)
    assert postinst.run(*arguments) == []
    assert (postinst.mode(postinst.etc), postinst.mode(settings)) == (0o770, 0o660)


def test_what_an_administrator_has_overridden_stays(postinst):
    postinst.overridden.write_text(f"{postinst.etc}\n")
    assert postinst.run("configure", "") == []
    assert postinst.mode(postinst.etc) == 0o755


def test_its_checksums_are_right(control, files):
    lines = (control / "md5sums").read_text().splitlines()
    assert len(lines) > 10
    subprocess.run(["md5sum", "--check", "--quiet", control / "md5sums"], cwd=files, check=True)


def test_its_server_runs_with_its_settings(files):
    binary = files / "usr/bin/pinfold-server"
    with servers.Server(binary, "--threads", 2, file=files / "etc/pinfold/pinfold.yaml") as server, server.connect() as connection:
        assert connection.call("PING") == "PONG"
    assert ".symtab" not in ask("readelf", "--wide", "--section-headers", binary)


def test_its_unit_starts_its_server(files):
    unit = (files / "lib/systemd/system/pinfold.service").read_text()
    assert re.findall("^ExecStart=(.*)$", unit, re.MULTILINE) == ["/usr/bin/pinfold-server /etc/pinfold/pinfold.yaml"]

    def settings(text):
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert settings(unit) == settings((ROOT / "config/pinfold.service").read_text().replace("/usr/local/bin/", "/usr/bin/"))
    assert "/usr/local" not in unit and "useradd" not in unit, "the package has done that"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_its_unit_is_valid(files, tmp_path):
    text = (files / "lib/systemd/system/pinfold.service").read_text()
    unit = tmp_path / "pinfold.service"
    unit.write_text(text.replace("/usr/bin/pinfold-server", os.path.realpath(files / "usr/bin/pinfold-server")))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert verified.returncode == 0 and "pinfold.service" not in verified.stderr, verified.stderr
