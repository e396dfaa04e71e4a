from pathlib import Path

import pytest
from pydantic import ValidationError

from stacks.secret_sources import read_secret
from stacks.sections import SecretSource

PLACE = ["pipelinesAsCode", "githubApp", "privateKey"]


def read(source: dict[str, str], root: Path, **values: object) -> tuple[str, list[str]]:
    text, problems = read_secret(SecretSource.model_validate(source), PLACE, root, values)
    return text, [str(problem) for problem in problems]


def test_a_secret_comes_from_the_configuration_or_from_a_file_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("first line\nlast line\n")
    assert read({"path": "key.pem"}, tmp_path) == ("first line\nlast line", [])
    assert read({"path": str(tmp_path / "key.pem")}, Path("/nowhere"))[0] == "first line\nlast line"
    assert read({"secret": "appKey"}, tmp_path, appKey="a value\n") == ("a value", [])


@pytest.mark.parametrize("source", [{}, {"secret": "a", "path": "b"}])
def test_exactly_one_source_is_given(source: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="one source of the secret is needed"):
        SecretSource.model_validate(source)


def test_what_is_wrong_with_a_file_names_the_key_and_the_mend_and_never_its_content(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"hidden\xff\xfe")
    (tmp_path / "folder").mkdir()
    for name, why in (
        ("absent", "there is no such file"),
        ("empty", "the file is empty"),
        ("binary", "the file is not text"),
        ("folder", "the file can't be read (Is a directory)"),
    ):
        text, problems = read({"path": name}, tmp_path)
        assert text == ""
        place = "pipeline-service:pipelinesAsCode.githubApp.privateKey.path"
        mend = "correct the path, which is relative to the project's folder, or the file"
        assert problems == [f'{place}: "{name}": {why}; {mend}']


@pytest.mark.parametrize("value", ["", "\n", {"a": "hidden"}, None])
def test_a_key_of_the_configuration_without_a_text_is_a_problem(tmp_path: Path, value: object) -> None:
    text, problems = read({"secret": "appKey"}, tmp_path, appKey=value)
    assert text == ""
    place = "pipeline-service:pipelinesAsCode.githubApp.privateKey.secret"
    mend = "set it anew: pulumi config set --secret appKey < FILE"
    assert problems == [f'{place}: "appKey": the value of that key is empty, or no text; {mend}']
