"""The package's own face: a frame goes in, answers print short and draw."""

import inspect
import subprocess
import sys

import pytest
from pyarrow import csv

import levelfield
from levelfield import scaling
from levelfield.records.errors import InputError
from levelfield.scaling.face import TableReading
from tests.narrowed import present

OTHERS = "examples/others.csv"
COLUMNS: TableReading = {"loss": "val_loss", "family": "arch", "role": "role", "seed": "seed"}


@pytest.mark.slow
def test_a_frame_is_fitted_compared_and_drawn(tmp_path):
    frame = csv.read_csv(OTHERS)
    laws = levelfield.fit(frame, **{**COLUMNS, "compute": "flops"})
    assert laws.laws == scaling.fit(OTHERS, **COLUMNS).laws
    assert laws.predict(budget=1e21) == levelfield.predict(frame, budget=1e21, **COLUMNS)
    verdicts = levelfield.compare(frame, **COLUMNS)
    for answer in (laws, verdicts):
        assert present(answer.figure()._repr_svg_()).startswith("<svg")
        assert len(repr(answer.figure())) < 300
    assert laws.figure().save(tmp_path / "laws.png").read_bytes().startswith(b"\x89PNG")
    assert "convnet" in verdicts.figure().save(str(tmp_path / "verdicts.svg")).read_text()
    with pytest.raises(InputError, match=r"is written as \.svg or \.png"):
        laws.figure().save(tmp_path / "laws.pdf")


def test_without_winners_the_points_are_those_that_the_laws_rest_on():
    figure = levelfield.fit(OTHERS, loss="val_loss", family="arch").figure()
    assert "the laws rest on the best run at each budget" in repr(figure)
    assert "not fitted" not in figure.svg
    assert "convnet, the best run seen" in str(figure.figure.panels[0].specification)


def test_what_cannot_be_drawn_says_why():
    figure = levelfield.fit({"flops": [1e9, 1e10], "loss": [3.0, 2.5]}).figure()
    assert figure._repr_svg_() is None
    assert "there is no law" in repr(figure)
    with pytest.raises(InputError, match="there is no law"):
        figure.save("nothing.png")


def test_a_misspelt_column_is_named():
    with pytest.raises(InputError, match=r"no column can mean 'losss'.*did you mean 'loss'"):
        levelfield.fit(OTHERS, losss="val_loss")  # pyright: ignore[reportCallIssue]  # what is tested


def test_help_explains_the_face_and_importing_it_loads_nothing():
    for name in levelfield.__all__:
        assert inspect.getdoc(getattr(levelfield, name))
    heavy = "{'numpy', 'scipy', 'torch', 'pydantic'}"
    told = f"import sys, levelfield; assert not {heavy} & set(sys.modules); help(levelfield)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fit(runs" in done.stdout
