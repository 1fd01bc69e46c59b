"""What the kernel knows about a process, and which cores a server and its load should run on."""

import os
import resource
import threading
import time


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


def cpu_seconds(pid):
    """What all threads of a process, those that are still there, have run for."""
    nanoseconds = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
            nanoseconds += int(stat.read().split()[0])
    return nanoseconds / 1e9


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
        self.times = []  # of the samples, on the monotonic clock
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
                self.times.append(time.monotonic())
            except OSError:
                return
            if self._done.wait(self._interval):
                return

    @property
    def peak(self):
        return max(self.samples + [self.mark])


def _machine_ticks():
    """(busy, stolen, all) of every core, in ticks."""
    with open("/proc/stat") as stat:
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    busy = user + nice + system + irq + softirq
    return busy, steal, busy + idle + iowait + steal


def _own_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Disturbance:
    """How much of the machine went to others while the `with` block ran.

    Children count as own only once they have ended, so the block must include their end.
    """

    def __enter__(self):
        self._ticks, self._own = _machine_ticks(), _own_seconds()
        self.others = self.stolen = 0.0
        return self

    def __exit__(self, *unused):
        busy, stolen, total = (now - then for now, then in zip(_machine_ticks(), self._ticks))
        own = (_own_seconds() - self._own) * os.sysconf("SC_CLK_TCK")
        if total > 0:
            self.others = max(0.0, busy - own) / total
            self.stolen = stolen / total

    def sentence(self):
        return f"Meanwhile other processes used {self.others:.0%} of the machine's cores, and {self.stolen:.0%} was " \
               f"stolen by other machines on the same host."


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
