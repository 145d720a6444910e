"""Strict YAML: what is read, as which type, and what is refused with its line."""

import math
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.settings.strict_yaml import MAX_BYTES, dump_yaml, holds_comment, parse_yaml, read_yaml


def written(folder: Path, content: bytes) -> Path:
    file = folder / "experiment.yaml"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.5e+3", 1500.0),
        ("-2e2", -200.0),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("2.0e-4", 2e-4),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_every_way_to_write_a_float_gives_a_float(text: str, value: float) -> None:
    parsed = parse_yaml(text)
    assert isinstance(parsed, float) and parsed == value


@pytest.mark.parametrize("text", ["1e", "e3", "1.2.3", "1e-3x", ".", "'1e-3'", "v1e3"])
def test_what_only_looks_like_a_float_stays_a_string(text: str) -> None:
    assert parse_yaml(text) == text.strip("'")


@pytest.mark.parametrize(("text", "value"), [("12", 12), ("-3", -3), ("0", 0), ("0x1F", 31)])
def test_an_integer_stays_an_integer(text: str, value: int) -> None:
    parsed = parse_yaml(text)
    assert type(parsed) is int and parsed == value


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("-08", -8), ("0o17", 15), ("+7", 7)])
def test_an_integer_is_read_as_in_yaml_1_2(text: str, value: int) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize("text", ["no", "Yes", "on", "OFF", "y", "1:30", "12:30:45", "1_000", "0b11", "0o8", "tRue"])
def test_what_only_yaml_1_1_reads_as_a_value_is_text(text: str) -> None:
    assert parse_yaml(text) == text
    assert parse_yaml(dump_yaml({"a": text})) == {"a": text}


@pytest.mark.parametrize("text", ["010", "0o17", "true", "null", "1e-3", "run #3", "~", "2024-01-01", "-08"])
def test_text_that_looks_like_another_value_is_written_in_quotes(text: str) -> None:
    assert parse_yaml(dump_yaml({"a": text})) == {"a": text}


def test_true_and_false_are_the_only_booleans() -> None:
    assert [parse_yaml(word) for word in ("true", "True", "FALSE", "'true'")] == [True, True, False, "true"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("5 # five", True), ("[a, b] #", True), ("# all", True), ("a#b", False), ("'a # b'", False), ("[a", False)],
)
def test_a_comment_is_told_from_text(text: str, is_one: bool) -> None:
    assert holds_comment(text) is is_one


@pytest.mark.parametrize("text", ["2024-01-01", "2024-01-01 10:00:00", "2024-01-01T10:00:00Z"])
def test_a_date_stays_a_string(text: str) -> None:
    assert parse_yaml(text) == text


def test_nothing_is_null() -> None:
    assert parse_yaml("{a: , b: null, c: ~}") == {"a": None, "b": None, "c": None}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", 3),
        ("x:\n  a: 1\n  a: 1\n", 3),
        ("x:\n- {a: 1}\n- {a: 1, a: 2}\n", 3),
        ("a: 1\n'a': 2\n", 2),
    ],
)
def test_a_duplicate_key_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=rf"^line {line}: the key 'a' stands here a second time"):
        parse_yaml(text)


@pytest.mark.parametrize("key", ["3", "1.5", "true", "null", "[a]"])
def test_a_key_that_is_not_a_string_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: the key .* is not a string; put it in quotes"):
        parse_yaml(f"a: 1\n? {key}\n: 2\n")


@pytest.mark.parametrize(
    "tag", ["!custom", "!", "!!str", "!!python/name:os.system", "!!python/tuple", "!!binary", "!!set", "!!timestamp"]
)
@pytest.mark.parametrize("content", ["x", "[x]", "{x: 1}"])
def test_a_tag_is_refused_with_its_line(tag: str, content: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: the tag .* is not allowed"):
        parse_yaml(f"a: 1\nb: {tag} {content}\n")


@pytest.mark.parametrize(
    "template", ["!!python/object/apply:os.mkdir [{path}]", "!!python/object/new:os.mkdir [{path}]"]
)
def test_a_tag_that_calls_a_function_calls_nothing(tmp_path: Path, template: str) -> None:
    victim = tmp_path / "made-by-yaml"
    with pytest.raises(ValueError, match="is not allowed"):
        read_yaml(written(tmp_path, ("a: " + template.format(path=victim)).encode()))
    assert not victim.exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: &x 1\n", 1), ("a: 1\nb: *x\n", 2), ("a: &x [1]\nb: *x\n", 1), ("base: &x {a: 1}\nc:\n  <<: *x\n", 1)],
)
def test_anchors_and_aliases_are_refused_with_their_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=rf"^line {line}: anchors and aliases .* are not allowed"):
        parse_yaml(text)


def test_an_anchor_bomb_is_refused_before_it_grows() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(ValueError, match=r"^line 1: anchors and aliases"):
        parse_yaml("\n".join(levels))


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse_yaml("<<: {a: 1}") == {"<<": {"a": 1}}


@pytest.mark.slow
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_without_end_is_refused_as_bad_input(opening: str) -> None:
    with pytest.raises(ValueError):
        parse_yaml(opening * 5000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\t- b\n", r"^line 2: .*\\t"),
        ("a: [1\n", r"^line 2: "),
        ("a: 1\n---\nb: 2\n", r"^line 2: .*another document"),
        ("a: \x01", "^not YAML: .*x0001"),
        ("a: =", "^line 1: "),
        ("a: " + "1" * 5000, "digits"),
    ],
)
def test_what_is_no_yaml_is_refused_with_the_cause(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text)


def test_a_file_is_read_as_utf8_with_and_without_a_mark(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        assert read_yaml(written(tmp_path, mark + "n\u00e4me: Gr\u00fcn".encode())) == {"n\u00e4me": "Gr\u00fcn"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold settings as `key: value`, and holds nothing"),
        (b"- 1\n", "must hold settings as `key: value`, and holds a list"),
        (b"words", "must hold settings as `key: value`, and holds one word or text"),
        (b"a: \xff\xfe", "line 1 is not UTF-8"),
        (b"a: 1\na: 2\n", "line 2: the key 'a'"),
        (b"#" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(ValueError) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    line = b"a: 1\n#"
    assert read_yaml(written(tmp_path, line + b"#" * (MAX_BYTES - len(line)))) == {"a": 1}


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir])
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, make: Any) -> None:
    file = tmp_path / "absent.yaml"
    make(file)
    with pytest.raises(ValueError, match=r"absent\.yaml: there is no such file"):
        read_yaml(file)


def test_a_missing_file_gets_a_suggestion_from_its_folder(tmp_path: Path) -> None:
    written(tmp_path, b"a: 1").rename(tmp_path / "pruning.yaml")
    with pytest.raises(ValueError, match=r"there is no such file; did you mean 'pruning.yaml'\?"):
        read_yaml(tmp_path / "prunning.yaml")
