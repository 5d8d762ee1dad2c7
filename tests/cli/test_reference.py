"""``levelfield reference``: sentences, tables, JSON and a figure."""

import json

import pytest

from levelfield.cli import main
from levelfield.reference.evidence import published_evidence


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Run a command line in this process; exit code and what it wrote."""

    def invoked(*arguments):
        monkeypatch.setattr("sys.argv", ["levelfield", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return invoked


def test_the_terminal_says_what_can_and_what_cannot_be_concluded(invoke):
    code, output, _ = invoke("reference")
    assert code == 0
    for words in ("What can be concluded:", "What cannot:", "NFNet-F7+", "Left out:", "cannot tell"):
        assert words in output
    assert "Adafactor" not in output


def test_every_point_comes_with_its_confounds_on_request(invoke):
    _, output, _ = invoke("reference", "--points")
    rows = [line for line in output.splitlines() if "\t" in line and "JFT" in line and "px" in line]
    assert len(rows) >= len(published_evidence().points)
    assert "Adafactor" in output


def test_the_same_as_json(invoke):
    _, output, _ = invoke("reference", "--json")
    answer = json.loads(output)
    evidence = published_evidence()
    assert answer["evidence"]["equal"]["mean"]["estimate"] == evidence.equal.mean.estimate
    assert len(answer["evidence"]["points"]) == len(evidence.points)
    assert answer["concluded"]
    assert answer["not_concluded"]


@pytest.mark.slow
def test_the_figure_is_drawn_as_svg_and_png(invoke, tmp_path):
    assert invoke("reference", "--figure", tmp_path / "a.svg")[0] == 0
    assert invoke("reference", "--figure", tmp_path / "a.png")[0] == 0
    svg = (tmp_path / "a.svg").read_text()
    assert svg.count("<svg") == 4
    for words in ("F7+", "SoViT @384", "L/16", "ViT better"):
        assert words in svg
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "message"), [("a.pdf", "must end in .svg or .png"), ("nowhere/a.svg", "does not exist")]
)
def test_a_figure_that_cannot_be_drawn_is_answered_with_exit_code_2(invoke, tmp_path, path, message):
    code, _, error = invoke("reference", "--figure", tmp_path / path)
    assert code == 2
    assert message in error
