"""Files as people have them: what kubectl would make of them, `runyard run` makes of them too."""

import itertools
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


def expanding(form: str) -> bytes:
    """Return ten lines that stand for nine to the power of nine things."""
    names = "abcdefghij"
    lines = ["a: &a {x: 1, y: 2}"] + [
        f"{name}: &{name} {form.format(', '.join([f'*{before}'] * 9))}" for before, name in itertools.pairwise(names)
    ]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "{file} holds 0 objects: give a file with one", id="empty"),
        pytest.param(
            f"{WHOLE}---{WHOLE}".encode(),
            "{file} holds 2 objects: give a file with one",
            id="two documents",
        ),
        pytest.param(b"# one\n---\n# another\n", "{file} holds 0 objects: give a file with one", id="comments"),
        pytest.param(b"a: [", "{file} is not YAML: line 1: while parsing a flow node", id="not YAML"),
        pytest.param(
            b"a:\n\t- x",
            "{file} is not YAML: line 2: while scanning for the next token found character '\\t' that cannot start",
            id="a tab",
        ),
        pytest.param(b"a: \n\n\x00", "{file} is not YAML: line 3: the character U+0000 is not allowed", id="a zero"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff", "{file} is not UTF-8: line 1: save it as that", id="binary"),
        pytest.param(b"a: 1\nb: \xe9\n", "{file} is not UTF-8: line 2: save it as that", id="Latin 1"),
        pytest.param("a: 1\n".encode("utf-16"), "{file} is not UTF-8: line 1: ", id="as PowerShell writes it"),
        pytest.param(b"a: 1\nb: 2\na: 3\n", '{file}: line 3: key "a" already set in map', id="a key given twice"),
        pytest.param(
            b"a:\n  b: 1\n  c: {d: 1, d: 2}\n", '{file}: line 3: key "d" already set in map', id="twice, further in"
        ),
        pytest.param(b"a: {{ name }}\n", "{file} is not YAML: ", id="a template"),
        pytest.param(b"? [a]\n: 1\n", "{file} is not YAML: ", id="a list for a key"),
        pytest.param(b"~: 1\n", "{file} is not YAML: ", id="nothing for a key"),
        pytest.param(b"a: .inf\n", "{file} holds what JSON cannot: ", id="infinity, which JSON has not"),
        pytest.param(b"a: .nan\n", "{file} holds what JSON cannot: ", id="not a number, which JSON has not"),
        pytest.param(b'a: "\\ud800"\n', "{file} holds what JSON cannot: ", id="half a character"),
        pytest.param(b"a: !!binary aGVsbG8=\n", "{file}: line 1: the tag !!binary stands for nothing", id="bytes"),
        pytest.param(b"a: !!set {b}\n", "{file}: line 1: the tag !!set stands for nothing here: leave", id="a set"),
        pytest.param(
            b"a: !!timestamp 2026-01-01\n", "{file}: line 1: the tag !!timestamp stands for", id="a time by force"
        ),
        pytest.param(b"a: !!timestamp soon\n", "{file}: line 1: the tag !!timestamp stands for", id="no time by force"),
        pytest.param(
            b"a: 1\nb: !!python/object/apply:os.system [id]\n",
            "{file}: line 2: the tag !!python/object/apply:os.system stands for nothing here: leave it out, or quote",
            id="a program",
        ),
        pytest.param(b"!!python/name:os.system ''\n", "{file}: line 1: the tag !!python/name:os.sys", id="Python's"),
        pytest.param(b"a: !!bool maybe\n", '{file} is not YAML: line 1: "maybe" is no boolean: ', id="no boolean"),
        pytest.param(b"? !!bool maybe\n: 1\n", '{file} is not YAML: line 1: "maybe" is no bool', id="nor a key"),
        pytest.param(b"a: " + b"1" * 5_000, "{file} is not YAML: line 1: a number of 5000 digits: ", id="many digits"),
        pytest.param(b"a: !!float x\n", "{file} is not YAML: ", id="a number by force"),
        pytest.param(b"a: !!int\n", "{file} is not YAML: ", id="an empty number by force"),
        pytest.param(b"a: !mine x\n", "{file}: line 1: the tag !mine stands for nothing", id="a tag of one's own"),
        pytest.param(b"a:\n  !mine b: 1\n", "{file}: line 2: the tag !mine stands for nothing", id="on a key"),
        pytest.param(b"a: !mine {b: 1}\n", "{file}: line 1: the tag !mine stands for nothing", id="on an object"),
        pytest.param(b"a: !e!mine x\n", "{file} is not YAML: line 1: while parsing a node found undef", id="a handle"),
        pytest.param(b"yes: 1\ntrue: 2\n", '{file}: line 2: key "true" already set in map', id="twice, in two ways"),
        pytest.param(b"1: 1\n0x1: 2\n", '{file}: line 2: key "1" already set in map', id="a number twice"),
        pytest.param(b"a: *b\n", "{file} is not YAML: ", id="an anchor that is not there"),
        pytest.param(b"a: &a\n- *a\n", "{file}: line 2: a reference to what it is itself a part", id="within itself"),
        pytest.param(
            b"a: &a {<<: *a}\n", "{file}: line 1: a reference to what it is itself a", id="merged with itself"
        ),
        pytest.param(expanding("[{}]"), "{file}: line 7: references stand for more than 2 MiB", id="lists of lists"),
        pytest.param(
            expanding("{{<<: [{}]}}"), "{file}: line 7: references stand for more than 2", id="merges of merges"
        ),
        pytest.param(
            b"a0: &a0 [1]\n" + b"".join(b"a%d: &a%d [*a%d]\n" % (n, n, n - 1) for n in range(1, 99)),
            "{file}: line 64: nested more deeply than a TrainingRun can be, 64 levels",
            id="a long chain",
        ),
        pytest.param(b"a: " + b"[" * 9_999, "{file}: line 1: nested more deeply than a TrainingRun can", id="deep"),
        pytest.param(b"a: " + b"x" * 2**21, "{file} has more than 2 MiB, which no TrainingRun may have", id="large"),
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
