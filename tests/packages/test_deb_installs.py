"""The Debian package is installed, installed again, upgraded, removed and purged in a container of the base that the image has, too.

No systemd runs in it. So this shows what the package does to the user, the files and the links of systemd, and not that the unit starts.
"""

import pathlib
import subprocess

import pytest

from tests.support import image, servers

pytestmark = pytest.mark.skipif(bool(image.missing()), reason=image.missing() or "")


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    command = [servers.ROOT / "scripts/package", "--built", tmp_path_factory.mktemp("deb")]
    return pathlib.Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


LINK = "etc/systemd/system/multi-user.target.wants/pinfold.service"


class System:
    def __init__(self, name, root):
        self.name, self.root = name, root

    def run(self, *command):
        done = subprocess.run(image.run_command(self.name, *command, DEBIAN_FRONTEND="noninteractive"), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout.strip()

    def owner_and_mode(self, path):
        return self.run("stat", "--format=%U:%G %a", path)

    def starts_at_boot(self):
        return (self.root / LINK).is_symlink()


@pytest.fixture(scope="module")
def system(deb):
    """A system with the package installed."""
    image.base_image()
    with image.container(image.BASE) as (name, root):
        system = System(name, root)
        image.buildah("copy", name, deb, "/tmp/pinfold.deb")
        system.run("apt-get", "update", "-qq")
        system.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/tmp/pinfold.deb")
        yield system


def test_the_server_has_all_that_it_needs(system):
    assert "0.1" in system.run("pinfold-server", "--version")


def test_the_user_and_the_rights_are_there(system):
    assert system.run("getent", "passwd", "pinfold").endswith(":/nonexistent:/usr/sbin/nologin")
    assert system.owner_and_mode("/etc/pinfold") == "root:pinfold 750"
    assert system.owner_and_mode("/etc/pinfold/pinfold.yaml") == "root:pinfold 640"
    assert system.starts_at_boot()
    # The user can read the settings, and change nothing.
    check = ["setpriv", "--reuid=pinfold", "--regid=pinfold", "--clear-groups"]
    system.run(*check, "pinfold-server", "/etc/pinfold/pinfold.yaml", "--check")
    system.run(*check, "sh", "-c", "! test -w /etc/pinfold && ! test -w /etc/pinfold/pinfold.yaml && ! test -w /usr/bin/pinfold-server")


def test_installing_it_again_changes_nothing_that_an_administrator_has_set(system):
    users = (system.root / "etc/passwd").read_text()
    settings = system.root / "etc/pinfold/pinfold.yaml"
    settings.write_text(settings.read_text() + "\n# mine\n")
    system.run("dpkg-statoverride", "--update", "--add", "root", "root", "0600", "/etc/pinfold/pinfold.yaml")
    system.run("chmod", "770", "/etc/pinfold")  # for CONFIG REWRITE
    (system.root / LINK).unlink()  # as systemctl disable does
    system.run("dpkg", "--install", "/tmp/pinfold.deb")
    assert settings.read_text().endswith("# mine\n")
    assert (system.root / "etc/passwd").read_text() == users
    assert system.owner_and_mode("/etc/pinfold/pinfold.yaml") == "root:root 600"
    assert system.owner_and_mode("/etc/pinfold") == "root:pinfold 770"
    assert not system.starts_at_boot()


def test_removing_it_keeps_settings_and_purging_it_removes_only_what_it_has_made(system):
    (system.root / "var/log/pinfold").mkdir(exist_ok=True)
    (system.root / "var/log/pinfold/log").write_text("")
    (system.root / "etc/pinfold/server.key").write_text("a key")
    system.run("dpkg", "--remove", "pinfold")
    assert (system.root / "etc/pinfold/pinfold.yaml").exists() and not (system.root / "usr/bin/pinfold-server").exists()
    system.run("dpkg", "--purge", "pinfold")
    assert not (system.root / "etc/pinfold/pinfold.yaml").exists()
    assert (system.root / "etc/pinfold/server.key").read_text() == "a key"
    assert not (system.root / "var/log/pinfold").exists()
    left = system.run("find", "/etc/systemd", "/var/lib/systemd", "/usr/share", "/lib/systemd", "-name", "*pinfold*")
    assert left == ""


def test_after_purging_it_can_be_installed_anew(system):
    system.run("dpkg", "--install", "/tmp/pinfold.deb")
    assert system.owner_and_mode("/etc/pinfold") == "root:pinfold 750" and system.starts_at_boot()
    system.run("rm", "/etc/pinfold/server.key")
    system.run("dpkg", "--purge", "pinfold")
    assert not (system.root / "etc/pinfold").exists()
