"""Files as people have them: what kubectl would make of them, `runyard run` makes of them too."""

from pathlib import Path
from typing import Any

import pytest

from runyard import manifest
from runyard.api.parameters import text_of
from runyard.errors import InvalidManifest, UnknownField, UnreadableManifest

WHOLE = """
apiVersion: runyard.dev/v1alpha1
kind: TrainingRun
metadata: {name: wine}
spec:
  image: example/wine:1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trainingrun.yaml"


def parameter(file: Path, literal: str) -> Any:
    """Return what a parameter written so is read as."""
    file.write_text(WHOLE + f"  parameters:\n    a: {literal}\n", encoding="utf-8")
    return manifest.read(file).spec.parameters["a"]


def test_a_whole_one(file: Path) -> None:
    file.write_text(WHOLE)
    found = manifest.read(file)
    assert (found.metadata.name, found.spec.image) == ("wine", "example/wine:1")


# Each was sent with kubectl 1.34 and read back from its API server.
@pytest.mark.parametrize(
    ("literal", "value"),
    [
        *(("3", 3), ("-3", -3), ("+1", 1), ("010", 8), ("08", 8), ("0o17", 15), ("0x1F", 31), ("0b101", 5)),
        *(("-0x1F", -31), ("1_000", 1000), ("0_8", 8), ("-08", -8), ("-0", 0)),
        *(("0.1", 0.1), ("1e-3", 0.001), ("1E5", 100000), ("1e3", 1000), ("+1e3", 1000), ("1.0", 1), ("5.", 5)),
        *((".5", 0.5), ("-.5e-3", -0.0005), ("1_000.5", 1000.5), ("1e-7", 1e-07), ("1e21", 1e21), ("-0.0", 0)),
        *(("08.5", 8.5), ("1.e3", 1000), ("!!float 1", 1)),
        *(("y", True), ("yes", True), ("On", True), ("TRUE", True), ("n", False), ("No", False), ("off", False)),
        *(('"1"', "1"), ("'yes'", "yes"), ("!!str 1", "1"), ("1e", "1e"), (".e3", ".e3"), ("5.5.5", "5.5.5")),
        *(("12:30", "12:30"), ("1:30:45", "1:30:45"), ("1:30.5", "1:30.5"), ("0b12", "0b12"), ("_1", "_1")),
        *(("2026-01-01", "2026-01-01"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")),
        *(("Grüner 🍇", "Grüner 🍇"), ("~/wine", "~/wine"), ("0x", "0x")),
    ],
)
def test_a_literal_is_what_kubectl_takes_it_for(file: Path, literal: str, value: Any) -> None:
    found = parameter(file, literal)
    assert (found, type(found)) == (value, type(value))


def test_a_number_has_the_same_text_here_and_in_the_cluster(file: Path) -> None:
    assert [text_of(parameter(file, literal)) for literal in ("1.0", "1e5", "1e-3")] == ["1", "100000", "0.001"]


@pytest.mark.parametrize(
    ("key", "name"), [("n", "false"), ("yes", "true"), ("on", "true"), ("True", "true"), ("'n'", "n"), ("a", "a")]
)
def test_a_key_is_what_kubectl_takes_it_for(file: Path, key: str, name: str) -> None:
    file.write_text(WHOLE + f"  parameters: {{{key}: 1}}\n")
    assert manifest.read(file).spec.parameters == {name: 1}


def test_anchors_and_merges(file: Path) -> None:
    file.write_text(WHOLE + "  env:\n  - &e {name: A, value: x}\n  - {<<: *e, name: B}\n")
    assert manifest.read(file).spec.env == [{"name": "A", "value": "x"}, {"name": "B", "value": "x"}]


def test_merges_of_merges(file: Path) -> None:
    text = """
parameters:
  deep: {deeper: &p {<<: &b {x: 1}, x: 2}}
  last: {<<: *p}
"""
    file.write_text(text)
    assert manifest.document(file) == {"parameters": {"deep": {"deeper": {"x": 2}}, "last": {"x": 2}}}


def test_a_byte_order_mark_and_windows_line_ends(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert manifest.read(file).metadata.name == "wine"


def test_comments_and_empty_documents_do_not_count(file: Path) -> None:
    file.write_text(f"# a comment\n---\n{WHOLE}---\n# the end\n")
    assert manifest.read(file).metadata.name == "wine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "{file} holds 0 objects: give a file with one", id="empty"),
        pytest.param(
            f"{WHOLE}---{WHOLE}".encode(),
            "{file} holds 2 objects: give a file with one",
            id="two documents",
        ),
        pytest.param(b"a: [", "{file} is not YAML: while parsing a flow node", id="not YAML"),
        pytest.param(b"\t- x", "{file} is not YAML: ", id="a tab"),
        pytest.param(b"a: \x00", "{file} is not YAML: ", id="a zero"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff", "{file} cannot be read: 'utf-8' codec", id="binary"),
        pytest.param(b"a: 1\nb: 2\na: 3\n", '{file}: line 3: key "a" already set in map', id="a key given twice"),
        pytest.param(
            b"a:\n  b: 1\n  c: {d: 1, d: 2}\n", '{file}: line 3: key "d" already set in map', id="twice, further in"
        ),
        pytest.param(b"a: {{ name }}\n", "{file} is not YAML: ", id="a template"),
        pytest.param(b"? [a]\n: 1\n", "{file} is not YAML: ", id="a list for a key"),
        pytest.param(b"~: 1\n", "{file} is not YAML: ", id="nothing for a key"),
        pytest.param(b"a: .inf\n", "{file} holds what JSON cannot: ", id="infinity, which JSON has not"),
        pytest.param(b"a: .nan\n", "{file} holds what JSON cannot: ", id="not a number, which JSON has not"),
        pytest.param(b"a: !!binary aGVsbG8=\n", "{file} holds what JSON cannot: ", id="bytes"),
        pytest.param(b"a: !!set {b}\n", "{file} holds what JSON cannot: ", id="a set"),
        pytest.param(b"a: !!timestamp 2026-01-01\n", "{file} holds what JSON cannot: ", id="a time by force"),
        pytest.param(b"a: !!float x\n", "{file} is not YAML: ", id="a number by force"),
        pytest.param(b"a: !!int\n", "{file} is not YAML: ", id="an empty number by force"),
        pytest.param(b"a: !mine x\n", "{file} is not YAML: ", id="a tag of one's own"),
        pytest.param(b"a: *b\n", "{file} is not YAML: ", id="an anchor that is not there"),
        pytest.param(b"a: &a [*a]\n", "{file} holds what JSON cannot: ", id="a list within itself"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(UnreadableManifest) as found:
        manifest.document(file)
    assert str(found.value).startswith(message.format(file=file))
    assert "\n" not in str(found.value)
    assert found.value.exit_code == 2


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(UnreadableManifest, match=r"trainingrun\.yaml cannot be read: No such file or directory$"):
        manifest.read(file)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableManifest, match=r"cannot be read: Is a directory$"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[]", "no object"),
        ("just text", "no object"),
        ("apiVersion: v1\nkind: Pod\n", "v1/Pod"),
        ("apiVersion: runyard.dev/v1\nkind: TrainingRun\n", "runyard.dev/v1/TrainingRun"),
        ("kind: TrainingRun\n", "None/TrainingRun"),
        ("apiVersion: [1]\nkind: TrainingRun\n", r"\[1\]/TrainingRun"),
    ],
)
def test_something_else_is_named(file: Path, content: str, what: str) -> None:
    file.write_text(content)
    with pytest.raises(UnreadableManifest, match=f"^this is {what}, not a TrainingRun of runyard.dev/v1alpha1: set"):
        manifest.read(file)


def test_wrong_values_and_unknown_fields_are_told_apart(file: Path) -> None:
    file.write_text(WHOLE + "  backoffLimit: -1\n")
    with pytest.raises(InvalidManifest):
        manifest.read(file)
    file.write_text(WHOLE + "  backofLimit: 1\n")
    with pytest.raises(UnknownField):
        manifest.read(file)
