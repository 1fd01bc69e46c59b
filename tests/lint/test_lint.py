"""scripts/lint finds what it is for, and nothing where there is nothing, on a small tree of two rooms and one above them."""

import json
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

TREE = {
    "src/rooms.cmake": "# Lowest first.\npinfold_room(low)\npinfold_room(middle DEPS low LIBS Some::library)\npinfold_room(high DEPS middle)\n",
    ".clang-format": "BasedOnStyle: Google\nColumnLimit: 140\nReflowComments: false\n",
    ".clang-tidy": "Checks: '-*,bugprone-integer-division,misc-unused-parameters'\nWarningsAsErrors: '*'\nHeaderFilterRegex: '.*'\n",
    "include/pinfold/low/number.hpp": "#pragma once\nint number();\n",
    "src/low/number.cpp": '#include "pinfold/low/number.hpp"\n\nint number() { return 1; }\n',
    "include/pinfold/middle/sum.hpp": "#pragma once\nint sum();\n",
    "src/middle/sum.cpp": '#include "pinfold/middle/sum.hpp"\n\n#include "pinfold/low/number.hpp"\n\nint sum() { return number() + 1; }\n',
    "src/high/user.cpp": '#include "pinfold/middle/sum.hpp"\n\nint use() { return sum(); }\n',
    "tests/unit/high/user_test.cpp": '#include "pinfold/low/number.hpp"\n\nint test() { return number(); }\n',
}
# clang-tidy finds it; the format is right.
FAULT = "double half() { return 1 / 2; }\n"


class Tree:
    """A repository with scripts/lint in it."""

    def __init__(self, path):
        self.path = path

    def make(self):
        self.git("init", "-q", "-b", "main")
        self.write(".gitignore", "/build/\n")
        for name, text in TREE.items():
            self.write(name, text)
        (self.path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "lint", self.path / "scripts" / "lint")
        self.know_commands()
        self.commit()

    def git(self, *arguments):
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        return subprocess.run(["git", *identity, *arguments], cwd=self.path, capture_output=True, text=True, check=True).stdout.strip()

    def write(self, name, text):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def know_commands(self, flags=""):
        """Writes what CMake would: how each file is compiled."""
        files = [str(file.relative_to(self.path)) for file in self.path.rglob("*.cpp")]
        commands = [{"directory": str(self.path), "file": file, "command": f"c++ -std=c++20 -Iinclude {flags} -c {file}"} for file in files]
        self.write("build/release/compile_commands.json", json.dumps(commands))

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "another")

    def commit_file(self, name, text):
        self.write(name, text)
        self.commit()

    def lint(self, *arguments):
        """(passed, what it prints about faults, what it prints besides)"""
        done = subprocess.run([self.path / "scripts" / "lint", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert (done.returncode == 0) == (done.stdout == "" and not done.stderr.startswith("lint: ")), done.stdout + done.stderr
        return done.returncode == 0, done.stdout, done.stderr

    def passes(self, *arguments):
        passed, found, _ = self.lint(*arguments)
        return passed and not found

    def faults(self, *arguments):
        passed, found, _ = self.lint(*arguments)
        assert not passed
        return found


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path)
    made.make()
    return made


@pytest.mark.parametrize("check", [["format"], ["includes"], ["names"], ["tidy", "--all"], ["--all"]], ids=" ".join)
def test_a_tree_without_faults_passes(tree, check):
    assert tree.passes(*check)


def test_a_file_that_the_formatter_would_change_is_found_and_mended(tree):
    file = tree.write("src/low/number.cpp", "int  number( ){return 1;}\n")
    assert "src/low/number.cpp:1:" in tree.faults("format")
    assert tree.passes("--fix")
    assert file.read_text() == "int number() { return 1; }\n"
    assert tree.passes("format")


def test_a_comment_that_is_too_long_is_found(tree):
    text = TREE["src/low/number.cpp"]
    tree.write("src/low/number.cpp", f"//{'x' * 138}\n{text}")
    assert tree.passes("format")
    tree.write("src/low/number.cpp", f"//{'x' * 139}\n{text}")
    assert tree.faults("format") == "format: src/low/number.cpp:1: 141 columns; 140 are allowed\n"


def test_a_file_that_git_does_not_know_is_not_looked_at(tree):
    tree.write("src/low/draft.cpp", "int  draft( );\n")
    assert tree.passes("format")


def test_a_header_of_a_room_above_is_refused(tree):
    tree.write("src/low/number.cpp", '#include "pinfold/middle/sum.hpp"\n')
    assert "src/low/number.cpp:1: includes pinfold/middle/sum.hpp of room middle; the DEPS of low" in tree.faults("includes")


def test_a_header_of_a_room_that_only_another_room_names_is_refused(tree):
    tree.write("src/high/user.cpp", '#include <pinfold/low/number.hpp>\n')
    assert "src/high/user.cpp:1: includes pinfold/low/number.hpp of room low; the DEPS of high" in tree.faults("includes")


def test_headers_are_held_to_the_rooms_as_well(tree):
    tree.write("include/pinfold/low/number.hpp", '#pragma once\n#include "pinfold/high/user.hpp"\n')
    assert "include/pinfold/low/number.hpp:2: includes pinfold/high/user.hpp" in tree.faults("includes")


def test_a_header_by_another_way_than_its_room_is_refused(tree):
    tree.write("src/low/number.cpp", '#include "../../include/pinfold/middle/sum.hpp"\n')
    assert "src/low/number.cpp:1:" in tree.faults("includes")


def test_a_unit_test_includes_what_its_room_links_and_no_more(tree):
    tree.write("tests/unit/middle/sum_test.cpp", '#include "pinfold/low/number.hpp"\n#include "pinfold/high/user.hpp"\n')
    tree.commit()
    assert tree.faults("includes") == "includes: tests/unit/middle/sum_test.cpp:2: includes pinfold/high/user.hpp of room high; middle does not use it\n"


def test_a_folder_that_is_no_room_is_found(tree):
    tree.write("src/other/file.cpp", "")
    tree.commit()
    assert tree.faults("includes") == "includes: src/other/file.cpp: src/rooms.cmake has no room other\n"


def test_rooms_that_use_each_other_are_found(tree):
    tree.write("src/rooms.cmake", TREE["src/rooms.cmake"].replace("(low)", "(low DEPS high)"))
    assert tree.faults("includes") == "includes: src/rooms.cmake: low has high in its DEPS, which is not declared above it\n"


@pytest.mark.parametrize("name", ["src/high/sum.cpp", "include/pinfold/high/sum.hpp", "src/high/number.cpp"])
def test_two_rooms_with_files_of_one_name_are_found(tree, name):
    tree.write(name, "")
    tree.commit()
    assert name in tree.faults("names")


def test_clang_tidy_fails_the_lint_on_what_differs_from_the_commit_that_is_named(tree):
    tree.commit_file("src/high/user.cpp", FAULT)
    assert "bugprone-integer-division" in tree.faults("tidy", "--since", "HEAD~1")
    assert tree.passes("tidy", "--since", "HEAD")


def test_a_fault_that_is_not_committed_is_found(tree):
    tree.write("src/high/user.cpp", FAULT)
    assert "src/high/user.cpp:1:" in tree.faults("tidy", "--since", "HEAD")


def test_a_precompiled_header_of_another_compiler_is_no_fault(tree):
    header = tree.write("build/release/cmake_pch.hxx", "#define ANSWER 42\n")
    tree.write("build/release/cmake_pch.hxx.gch", "not for clang")
    tree.commit_file("src/high/user.cpp", "int use() { return ANSWER; }\n")
    tree.know_commands(f"-Winvalid-pch -include {header}")
    assert tree.passes("tidy", "--since", "HEAD~1")


def test_the_compilers_own_warnings_are_left_to_the_compiler(tree):
    tree.commit_file("src/high/user.cpp", "int use() {\n  int unused;\n  return 1;\n}\n")
    tree.know_commands("-Wall -Werror")
    assert tree.passes("tidy", "--since", "HEAD~1")


def test_a_header_that_changed_is_checked_through_a_file_that_includes_it(tree):
    tree.write("include/pinfold/low/number.hpp", "#pragma once\nint number();\ninline " + FAULT)
    _, found, said = tree.lint("tidy", "--since", "HEAD")
    assert "include/pinfold/low/number.hpp:3:" in found
    assert said == "tidy: 1 files\n"


def test_what_is_merged_upstream_is_not_checked_again(tree):
    tree.commit_file("src/high/user.cpp", FAULT)
    tree.git("branch", "upstream")
    tree.git("branch", "-q", "--set-upstream-to=upstream")
    tree.commit_file("src/low/number.cpp", TREE["src/low/number.cpp"] + "\n")
    assert tree.passes("tidy")
    tree.commit_file("src/low/number.cpp", FAULT)
    assert "src/low/number.cpp" in tree.faults("tidy")


@pytest.mark.parametrize("upstream", [False, True], ids=["no upstream", "upstream at HEAD"])
def test_without_commits_of_ones_own_the_last_ones_are_checked(tree, upstream):
    tree.commit_file("src/high/user.cpp", FAULT)
    tree.commit_file("README.md", "")
    if upstream:
        tree.git("branch", "upstream")
        tree.git("branch", "-q", "--set-upstream-to=upstream")
    found = tree.faults("tidy")
    assert "src/high/user.cpp" in found


def test_a_commit_of_many_files_is_left_out_unless_it_is_the_last_of_which_so_many_are_checked(tree):
    for number in range(41):
        tree.write(f"src/low/many{number}.cpp", f"int many{number}() {{ return {number}; }}\n")
    tree.know_commands()
    tree.commit()
    assert tree.lint("tidy")[2] == "tidy: 40 files\n"
    tree.commit_file("src/high/user.cpp", TREE["src/high/user.cpp"] + "\n")
    assert tree.lint("tidy")[2] == "tidy: 1 files\n"


def test_a_clone_of_one_commit_knows_of_no_change(tree):
    tree.commit_file("src/high/user.cpp", FAULT)
    clone = tree.path / "build" / "clone"
    tree.git("clone", "-q", "--depth", "1", tree.path.as_uri(), str(clone))
    shallow = Tree(clone)
    shallow.know_commands()
    assert shallow.lint("tidy")[2] == "tidy: 0 files\n"
    assert "src/high/user.cpp" in shallow.faults("tidy", "--all")


def test_tidy_says_what_it_needs(tree):
    shutil.rmtree(tree.path / "build")
    passed, found, said = tree.lint("tidy", "--all")
    assert not passed and not found and "run scripts/build" in said


def test_an_unknown_commit_is_no_empty_difference(tree):
    passed, found, said = tree.lint("tidy", "--since", "nowhere")
    assert not passed and not found and said == "lint: there is no commit nowhere\n"


def test_a_tree_without_git_does_not_pass_for_want_of_files(tree):
    shutil.rmtree(tree.path / ".git")
    passed, found, said = tree.lint("format")
    assert not passed and not found and said == "lint: git lists no files here\n"
