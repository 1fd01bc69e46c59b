"""What the kernel knows about a process, and which cores a server and its load should run on."""

import os
import threading


def _status_kb(pid, field):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise ProcessLookupError(pid)


def resident(pid):
    """RSS in bytes, as the page tables have it: the counter behind VmRSS may lag by some hundred KB."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            for line in rollup:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, PermissionError):
        pass
    return _status_kb(pid, "VmRSS") * 1024


class ResidentSampler:
    """Samples a process' RSS every 50 ms while the `with` block runs.

    The kernel's own high-water mark, reset at the start where that is allowed, catches what falls between samples.
    """

    def __init__(self, pid, interval=0.05):
        self._pid = pid
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._marked = False
        self.samples = []
        self.mark = 0

    def __enter__(self):
        try:
            with open(f"/proc/{self._pid}/clear_refs", "w") as refs:
                refs.write("5")
            self._marked = True
        except OSError:
            pass
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._done.set()
        self._thread.join()
        try:
            if self._marked:
                self.mark = _status_kb(self._pid, "VmHWM") * 1024
        except OSError:
            pass

    def _run(self):
        while True:
            try:
                self.samples.append(_status_kb(self._pid, "VmRSS") * 1024)
            except OSError:
                return
            if self._done.wait(self._interval):
                return

    @property
    def peak(self):
        return max(self.samples + [self.mark])


def siblings(core):
    """The cores that share their hardware with this one."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{core}/topology/threadsiblings_list") as file:
            found = set()
            for part in file.read().strip().split(","):
                first, _, last = part.partition("-")
                found.update(range(int(first), int(last or first) + 1))
            return found
    except (OSError, ValueError):
        return {core}


def choose_cores():
    """(server, load): two cores, of different hardware where there is a choice; None each when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None, None
    server = cores[0]
    apart = [core for core in cores[1:] if core not in siblings(server)]
    return server, (apart or cores[1:])[0]
