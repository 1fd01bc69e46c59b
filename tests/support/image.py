"""Builds the container's image without a Docker engine, by buildah on a base that debootstrap makes, and runs it.

Everything lies in build/image: the base, which is made once, and the images. The base stands for debian:12-slim: Debian's smallest installation
without documentation and translations. Needs root.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from . import servers

ROOT = servers.ROOT
FOLDER = ROOT / "build/image"
BASE = "docker.io/library/debian:12-slim"
IMAGE = "localhost/pinfold"
MIRROR = os.environ.get("PINFOLD_DEBIAN_MIRROR", "http://deb.debian.org/debian")
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "var/cache/apt", "var/lib/apt/lists", "var/log")
_NEVER_INSTALLED = "".join(f"path-exclude /{folder}/*\n" for folder in _SLIM[:5])
_SOURCES = f"""deb {MIRROR} bookworm main
deb {MIRROR} bookworm-updates main
deb {MIRROR}-security bookworm-security main
"""


def missing():
    """Why no image can be built here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    commands = [command for command in ("buildah", "debootstrap", "unshare", "strip") if not shutil.which(command)]
    return f"not installed: {', '.join(commands)} (scripts/setup image)" if commands else None


def buildah(*arguments, **options):
    """What it prints."""
    store = ["--root", FOLDER / "store", "--runroot", FOLDER / "run", "--storage-driver", "vfs"]
    command = [str(word) for word in ("buildah", *store, *arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def policy():
    """Images come from here alone, so nobody has signed them."""
    path = FOLDER / "policy.json"
    path.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    return ["--signature-policy", path]


def make_base(tar):
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        root = pathlib.Path(folder) / "root"
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root, MIRROR], stdout=subprocess.DEVNULL, check=True)
        for name in _SLIM:
            for path in (root / name).iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_NEVER_INSTALLED)
        (root / "etc/apt/sources.list").write_text(_SOURCES)
        partial = tar.with_suffix(".partial")
        with tarfile.open(partial, "w") as archive:
            archive.add(root, ".", filter=lambda entry: None if re.match(r"\./(dev|proc|sys)/", entry.name) else entry)
        partial.rename(tar)


def base_image():
    FOLDER.mkdir(parents=True, exist_ok=True)
    tar = FOLDER / "debian-12-slim.tar"
    if not tar.exists():
        make_base(tar)
    if BASE not in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, tar, "/")
        buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--cmd", "bash", container)
        buildah("commit", "--quiet", "--rm", "--format", "docker", *policy(), container, BASE)


STAGES = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)
PREBUILT = "FROM scratch AS build\nCOPY pinfold-server /pinfold/build/release/pinfold-server\n\n"


def build(compiles):
    """The image of docker/Dockerfile. If it does not compile, the stage `build` is replaced by one that has the server of build/release; the rest
    is as it stands."""
    base_image()
    # What runs before have left.
    buildah("rm", "--all")
    buildah("rmi", "--prune")
    text = (ROOT / "docker/Dockerfile").read_text()
    options = ["--isolation=chroot", "--network=host", "--pull=never", "--format", "docker", "--force-rm", "--no-cache", *policy(), "--tag", IMAGE]
    if compiles:
        cache = pathlib.Path(os.environ.get("CCACHE_DIR", "~/.cache/ccache")).expanduser()
        cache.mkdir(parents=True, exist_ok=True)
        buildah("bud", *options, "--volume", f"{cache}:/root/.cache/ccache:rw", "--file", ROOT / "docker/Dockerfile", ROOT)
        return
    first, last = STAGES.finditer(text)
    assert first[2] == "build"
    with tempfile.TemporaryDirectory(dir=FOLDER) as context:
        for name in ("config", "docker"):
            shutil.copytree(ROOT / name, pathlib.Path(context) / name)
        subprocess.run(["strip", "-o", f"{context}/pinfold-server", servers.pinfold_binary()], check=True)
        (pathlib.Path(context) / "Dockerfile").write_text(text[: first.start()] + PREBUILT + text[last.start() :])
        buildah("bud", *options, "--file", f"{context}/Dockerfile", context)


def configuration():
    """What the image says of itself, as Docker reads it."""
    return json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]


def layer_sizes():
    """The bytes of its layers, not compressed: what `docker images` shows is their sum."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        buildah("push", "--quiet", "--disable-compression", "--format", "oci", *policy(), IMAGE, f"dir:{folder}")
        layers = json.loads((pathlib.Path(folder) / "manifest.json").read_text())["layers"]
        return [layer["size"] for layer in layers]


@contextlib.contextmanager
def container(image=IMAGE):
    """A container of the image: its name for buildah, and where its files are."""
    name = buildah("from", "--pull=never", *policy(), image)
    try:
        yield name, pathlib.Path(buildah("mount", name))
    finally:
        buildah("rm", name)


def run_command(name, *command, **environment):
    """The command that runs this in a container, in the network of this machine."""
    store = ["--root", FOLDER / "store", "--runroot", FOLDER / "run", "--storage-driver", "vfs"]
    settings = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
    return [str(word) for word in ("buildah", *store, "run", "--isolation=chroot", "--network=host", *settings, name, "--", *command)]
