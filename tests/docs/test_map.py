"""The map in docs/architecture.md fits the tree, and the files and headings that documents name are there."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAP = (ROOT / "docs" / "architecture.md").read_text()
# {room: the rooms that it may use}
ROOMS = {
    words[0]: set(" ".join(words[1:]).split("LIBS")[0].replace("DEPS", "").split())
    for words in (found.split() for found in re.findall(r"^pinfold_room\(([^)]*)\)", (ROOT / "src/rooms.cmake").read_text(), re.MULTILINE))
}


def rows(heading):
    """The cells of the rows below a table's heading, by their first cell."""
    below = MAP.split(f"{heading}\n", 1)[1].split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in below]
    return {first.strip("`"): rest for first, *rest in cells}


def quoted(text):
    return re.findall(r"`([^`\s]+)`", text)


def files_of(room):
    folders = (ROOT / "include/pinfold" / room, ROOT / "src" / room)
    return {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_names_each_file_of_a_room_and_no_other(room):
    there, named = files_of(room), set()
    for name in quoted(rows("| room | files |")[room][0]):
        # A name without an ending is a header, and the code beside it if there is any.
        named |= {name} if "." in name else {f"{name}.hpp"} | ({f"{name}.cpp"} & there)
    assert named == there


def test_the_map_names_the_programs():
    named = set(re.findall(r"`(src/[^`]+)`", rows("| room | files |")["programs"][0]))
    assert named == {str(path.relative_to(ROOT)) for path in [ROOT / "src/main.cpp", *(ROOT / "src/tools").iterdir()]}


def test_the_table_of_rooms_says_what_each_may_use():
    used = {room: cells[1] for room, cells in rows("| room | what lives there | may use |").items()}
    assert {room: set(text.replace("nothing", "").replace(",", " ").split()) for room, text in used.items()} == ROOMS


def exists(name):
    """Whether a document's name of a file is right: as it lies in the tree, or "store/table" for a header or code of a room."""
    places = [name, f"include/pinfold/{name}", f"src/{name}", f"include/pinfold/{name}.hpp", f"src/{name}.cpp"]
    return any(any(ROOT.glob(place.rstrip("/"))) for place in places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_are_there(page):
    folders = "|".join(["src", "include", "tests", "docs", "scripts", "config", *ROOMS])
    names = {name for name in quoted(page.read_text()) if re.fullmatch(rf"(?:{folders})/[\w./*-]+", name)}
    assert not [name for name in sorted(names) if not exists(name)]


def headings(page):
    """The names by which links reach the headings of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    wrong = []
    for path, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in headings(target)):
            wrong.append(f"{path}#{heading}")
    assert not wrong
