"""Bad stack files: what is wrong is told with key, value and mend, all of it, and nothing else.

Each file of tests/data/bad-stacks begins with what is expected: `# expect: KEY | VALUE | part of the mend`, a
line for each problem; FILE stands for the file itself, and `-` for no value.
"""

from pathlib import Path

import pytest

from stacks.loader import read_stack_file
from stacks.problems import PROJECT, SettingsError

FILES = sorted((Path(__file__).parents[2] / "data/bad-stacks").iterdir())
_MARK = "# expect: "


def expected(path: Path) -> list[tuple[str, str, str]]:
    """Read what the head of a file expects: key, value and mend of each problem, sorted."""
    lines = [line.removeprefix(_MARK) for line in path.read_text().splitlines() if line.startswith(_MARK)]
    found = []
    for line in lines:
        key, value, mend = line.split(" | ")
        found.append(
            (str(path) if key == "FILE" else f"{PROJECT}:{key}", "" if value == "-" else value, mend)
        )
    return sorted(found)


def test_there_are_enough_bad_files() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.removeprefix("Pulumi."))
def test_a_bad_file_is_refused_with_key_value_and_mend_of_each_problem(path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_stack_file(path)
    found = sorted((one.key, one.value, one.mend) for one in caught.value.problems)
    wanted = expected(path)
    assert wanted, "the file says nothing of what is expected"
    assert [one[:2] for one in found] == [one[:2] for one in wanted], str(caught.value)
    assert [one for one, other in zip(found, wanted, strict=True) if other[2] not in one[2]] == []
    assert len(str(caught.value).splitlines()) == len(wanted), "each problem is one line"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.removeprefix("Pulumi."))
def test_no_error_shows_a_credential(path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_stack_file(path)
    for credential in ("hunter2", "made-up", "aHVudGVyMg", "PRIVATE KEY", "v1:AAAA"):
        assert credential not in str(caught.value)
