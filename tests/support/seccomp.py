"""Starts a program under a filter of system calls: the profile for Docker, or the filter of the systemd unit. Needs libseccomp.so.2.

What a profile would refuse with an error ends the process here (SIGSYS), so that a test sees every call that the profile lacks.
"""

import ctypes
import json
import subprocess

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
ERROR = 0x00050000
_NO_SUCH_CALL = -1


class _Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


_OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}


def _library():
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compare)]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    return library


def rules_of_profile(path):
    """The calls of a profile as Docker reads it: names, each with the conditions for its arguments, and 0 or the error to answer with."""
    profile = json.loads(path.read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    rules = []
    for group in profile["syscalls"]:
        assert group["action"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
        error = group["errnoRet"] if group["action"] == "SCMP_ACT_ERRNO" else 0
        rules += [(name, group.get("args", []), error) for name in group["names"]]
    return rules


def rules_of_unit(path):
    """The allowed calls of a systemd unit, with systemd's groups spelled out."""

    def members(name):
        if not name.startswith("@"):
            return {name}
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
        names = [line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
        return set().union(*(members(each) for each in names))

    allowed = members("@default")  # systemd allows these always
    for line in path.read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter" and value.startswith("~"):
            allowed -= set().union(*(members(each) for each in value[1:].split()))
        elif name == "SystemCallFilter":
            allowed |= set().union(*(members(each) for each in value.split()))
    return [(name, [], 0) for name in sorted(allowed)]


def loader(rules):
    """A function for subprocess' preexec_fn that loads the filter into the process."""
    library = _library()
    context = library.seccomp_init(KILL_PROCESS)
    assert context, "libseccomp makes no filter"
    known = 0
    for name, conditions, error in rules:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_CALL:
            continue  # of another kernel or machine
        array = (_Compare * max(len(conditions), 1))()
        for i, condition in enumerate(conditions):
            array[i] = _Compare(condition["index"], _OPERATORS[condition["op"]], condition["value"], condition.get("valueTwo", 0))
        # A call of another machine's is no fault of the profile's.
        known += library.seccomp_rule_add_array(context, ERROR | error if error else ALLOW, number, len(conditions), array) == 0
    assert known > 50

    def load():
        assert library.seccomp_load(context) == 0

    return load
