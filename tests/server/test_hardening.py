"""The built server is hardened as CMakeLists.txt says: what the compiler and the linker were told is in the binary."""

import os
import re
import subprocess

import pytest

from tests.support import servers

pytestmark = pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="only release builds are hardened")


def readelf(*options):
    done = subprocess.run(["readelf", "--wide", *options, servers.pinfold_binary()], capture_output=True, text=True, check=True)
    return done.stdout


def imported():
    """The functions that the server calls in shared libraries."""
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms")))


def test_it_is_loaded_at_a_random_address():
    assert re.search(r"Type:\s+DYN", readelf("--file-header"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("--dynamic"))


def test_addresses_of_functions_are_resolved_at_the_start_and_read_only_from_then_on():
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b", readelf("--dynamic"))
    assert re.search(r"^\s*GNU_RELRO\s", readelf("--program-headers"), re.MULTILINE)


def test_nothing_writable_is_executable_the_stack_included():
    headers = re.findall(r"^\s*(LOAD|GNU_STACK)\s+(?:0x\w+\s+){5}([RWE ]+?)\s+0x", readelf("--program-headers"), re.MULTILINE)
    assert {kind for kind, _ in headers} == {"LOAD", "GNU_STACK"}
    assert [flags for _, flags in headers if "W" in flags and "E" in flags] == []


def test_functions_with_arrays_check_the_stack_when_they_return():
    assert "__stack_chk_fail" in imported()


def test_copies_and_formatting_check_the_size_of_what_they_write_to():
    assert {"__memcpy_chk", "__snprintf_chk"} <= imported()
