"""A description of the machine and the servers measured, without names, dates or paths."""

import os
import platform

from proc import choose_cores, siblings


def _cpu_model():
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def _memory_gb():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def describe(versions):
    """`versions` maps a server's name to its version."""
    server, load = choose_cores()
    shared = server is not None and load in siblings(server)
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_share_hardware": shared,
        "memory_gb": round(_memory_gb(), 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "versions": dict(versions),
    }


def sentence(machine):
    cores = f"{machine['cores']} cores"
    if machine["cores_share_hardware"]:
        cores += " (hardware threads of one)"
    peers = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {cores}, {machine['memory_gb']} GB, {machine['kernel']}; {peers}."
