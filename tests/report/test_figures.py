"""Figures say what the analysis says: ticks, labels, captions and hollow points."""

from __future__ import annotations

import dataclasses
import math
import re
import sys

import pytest
import sample
from hypothesis import assume, given
from hypothesis import strategies as st

from levelfield.records.errors import WorkError
from levelfield.report.figures import theme
from levelfield.report.figures.axes import linear_axis, log_axis, percent_axis, spread
from levelfield.report.figures.canvas import Canvas
from levelfield.report.figures.figure import Figure
from levelfield.report.figures.labels import Label, write_labels
from levelfield.report.page.figures import study_figures
from levelfield.report.page.svg import draw_png, draw_svg
from levelfield.report.published.figures import published_figure
from levelfield.report.words import numbers
from levelfield.scaling.results.reasons.verdicts import NoNoise, SecondsDoNotRise
from levelfield.scaling.results.verdicts import DifferenceCurve


def figure(name: str) -> Figure:
    runs = sample.observations()
    return study_figures(sample.analysis(runs), runs)[name]


@given(st.lists(st.floats(0, 200), max_size=12), st.floats(1, 30))
def test_labels_never_overlap_and_keep_their_order(positions: list[float], gap: float) -> None:
    placed = spread(positions, gap, 0, 200)
    gap = min(gap, 200 / max(len(positions) - 1, 1))
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in placed)
    ordered = [place for _, place in sorted(zip(positions, placed, strict=True))]
    assert all(b - a >= gap - 1e-6 for a, b in zip(sorted(ordered), sorted(ordered)[1:], strict=False))


def test_labels_that_do_not_collide_stay_where_they_are() -> None:
    assert spread([10, 100, 40], 14, 0, 200) == pytest.approx([10, 100, 40])


@given(st.floats(1e-8, 1e20), st.floats(1.0, 1e8))
def test_a_log_axis_has_two_to_six_ticks_inside_itself(low: float, factor: float) -> None:
    axis = log_axis("x", [low, low * factor])
    assert 2 <= len(axis.ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick, _ in axis.ticks)
    assert axis.value(axis.fraction(low)) == pytest.approx(low)


@given(st.floats(-2, 2), st.floats(0, 3))
def test_a_percent_axis_marks_round_percents(low: float, length: float) -> None:
    axis = percent_axis("x", [low, low + length])
    assert 2 <= len(axis.ticks) <= 8
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_a_linear_axis_of_one_value_still_has_a_length() -> None:
    axis = linear_axis("x", [3.0], text=numbers.plain)
    assert axis.low < 3.0 < axis.high


def test_row_labels_stand_beside_their_own_rows() -> None:
    """The axis looks its texts up by rank; a reversed order would swap the verdicts."""
    svg = draw_svg(figure("verdict").panels[0].specification, "verdict")
    heights = {text: svg.index(f">{text}<") for text in ("training FLOPs", "device-seconds", "A/A: NFNet")}
    drawn = {}
    for text, end in heights.items():
        start = svg.rindex('transform="translate(', 0, end)
        drawn[text] = float(svg[start:end].split(",")[1].split(")")[0])
    assert drawn["training FLOPs"] < drawn["device-seconds"] < drawn["A/A: NFNet"]
    first = svg.index("NFNet against ViT in training FLOPs: NFNet better")
    place = svg.index('transform="translate(', first)
    assert float(svg[place:].split(",")[1].split(")")[0]) == pytest.approx(drawn["training FLOPs"], abs=6)


def test_rungs_near_chance_are_hollow() -> None:
    svg = draw_svg(figure("loss").panels[0].specification, "loss")
    label = svg.index("near chance: shown, not fitted")
    mark = svg[label : svg.index("/>", label)]
    assert f'fill="{theme.PAPER}"' in mark


def test_captions_are_written_from_the_analysis() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    caption = study_figures(analysis, runs)["loss"].caption
    top = {w.family: w.loss.estimate for w in analysis.winners if w.budget_flops == 1e12}
    assert caption.replace(numbers.THIN, " ").startswith("At 10¹² FLOPs")
    for loss in top.values():
        assert f"{loss:.3f}" in caption
    swapped = dataclasses.replace(analysis, winners=tuple(w for w in analysis.winners if w.budget_flops < 1e12))
    assert "3×10¹¹" in study_figures(swapped, runs)["loss"].caption


def test_chance_and_the_known_floor_are_named_where_all_runs_agree() -> None:
    runs = sample.observations()
    svg = draw_svg(study_figures(sample.analysis(runs), runs)["loss"].panels[0].specification, "loss")
    assert "chance 4.605" in svg
    assert "known floor 0.787" in svg
    mixed = (dataclasses.replace(runs[0], floor=0.5), *runs[1:])
    svg = draw_svg(study_figures(sample.analysis(runs), mixed)["loss"].panels[0].specification, "loss")
    assert "known floor" not in svg


def test_figures_use_no_colour_that_dark_mode_would_miss() -> None:
    runs = sample.observations()
    for drawn in study_figures(sample.analysis(runs), runs).values():
        for panel in drawn.panels:
            svg = draw_svg(panel.specification, panel.name)
            used = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{3,6})"', svg))
            assert used <= set(theme.COLORS), (panel.name, used)


def test_nfnet_and_vit_differ_in_colour_shape_and_dash() -> None:
    styles = theme.family_styles(("nfnet", "vit", "mixer"))
    for name in ("color", "shape", "glyph", "dash"):
        assert len({getattr(style, name) for style in styles.values()}) == 3
    assert theme.family_styles(("vit",))["vit"] == styles["vit"]


def test_the_published_figure_names_every_run_and_calls_nothing_architecture() -> None:
    drawn = published_figure()
    law, difference, names = (draw_svg(panel.specification, panel.name) for panel in drawn.panels)
    assert all(f">{name}<" in law for name in ("s/28", "Ti/16", "S/32", "B/16", "L/16", "SoViT", "F4+", "F7+"))
    assert all(f">{name}<" in difference for name in ("F4+", "F4", "F7+"))
    assert all(f">{name}<" in names for name in ("F7+, RA", "SoViT @384", "G/14 @518", "CoAt-7 @512", "ResNet200x3"))
    assert "nothing here is about architecture alone" in drawn.caption


def test_a_studys_winners_stand_before_the_published_points_on_one_axis_of_compute() -> None:
    runs = tuple(dataclasses.replace(run, values=(("error", 0.6),)) for run in sample.observations())
    panels = {panel.name: panel for panel in published_figure(runs).panels}
    svg = draw_svg(panels["published-beside"].specification, "beside")
    assert "● NFNet" in svg
    assert "10.3 decades above" in svg
    assert "published-beside" not in {panel.name for panel in published_figure(()).panels}


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=1, max_size=8, unique=True))
def test_names_lie_on_no_point_while_there_is_room(places: list[tuple[float, float]]) -> None:
    canvas = Canvas(
        x=linear_axis("x", [1.0, 100.0], text=numbers.plain), y=linear_axis("y", [1.0, 100.0], text=numbers.plain)
    )
    labels = [Label(x=x, y=y, text="F7", color=theme.INK) for x, y in places]
    apart = [canvas.place(x, y) for x, y in places]
    assume(all(math.dist(a, b) > 60 for place, a in enumerate(apart) for b in apart[:place]))
    write_labels(canvas, labels)
    drawn = [layer for layer in canvas.specification("")["layer"] if layer["mark"]["type"] == "text"]
    assert len(drawn) == len(labels)
    assert all(abs(layer["mark"]["dx"]) + abs(layer["mark"]["dy"]) <= 16 for layer in drawn)


def test_long_names_give_way_to_sizes_and_stay_inside_the_panel() -> None:
    runs = tuple(
        dataclasses.replace(run, model=f"{run.model},group=16,stem=8,patch=4,and-so-on")
        for run in sample.observations()
    )
    figures = study_figures(sample.analysis(runs), runs)
    assert "74 k params" in draw_svg(figures["tuning"].panels[0].specification, "tuning").replace(numbers.THIN, " ")


def test_a_family_may_have_a_name_that_is_no_file_name() -> None:
    runs = tuple(dataclasses.replace(run, family=f"../{run.family} 2+") for run in sample.observations())
    analysis = sample.analysis()
    cells = tuple(dataclasses.replace(cell, family="../x y") for cell in analysis.learning_rates)
    analysis = dataclasses.replace(analysis, families=("../x y", "nfnet", "vit"), learning_rates=cells)
    names = [panel.name for drawn in study_figures(analysis, runs).values() for panel in drawn.panels]
    assert "learning-rate-x-y" in names
    assert all("/" not in name and " " not in name for name in names)


def test_a_wild_interval_is_cut_and_does_not_flatten_the_picture() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    first, *rest = analysis.winners
    wild = dataclasses.replace(first, loss=dataclasses.replace(first.loss, low=1e-6, high=1e6))
    panel = study_figures(dataclasses.replace(analysis, winners=(wild, *rest)), runs)["loss"].panels[0]
    low, high = panel.specification["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low > 0.1
    assert high < 20


def test_a_locked_prediction_stands_at_its_rung_with_what_was_seen_there():
    runs = sample.observations()
    figure = study_figures(sample.analysis(runs), runs, sample.facts(runs).predictions)["loss"]
    by_flops, by_seconds = (draw_svg(panel.specification, panel.name) for panel in figure.panels)
    assert "locked in advance" in by_flops
    assert "then seen 0.981" in by_flops
    assert "locked in advance" not in by_seconds
    assert "predictions locked before their rung ran" in figure.reading


def test_imported_runs_are_drawn_and_named_as_such():
    runs = sample.observations()
    theirs = dataclasses.replace(runs[0], run="others: line 2", role="imported", loss=1.5)
    figure = study_figures(sample.analysis(runs), (*runs, theirs))["loss"]
    assert "imported, not judged: others: line 2" in draw_svg(figure.panels[0].specification, "loss")
    assert "imported results of others" in figure.reading


UNITS = re.compile(r" in (nats|FLOPs|device-seconds|%|parameters|examples|epochs|exaFLOPs)|learning rate")


def every_figure() -> list[Figure]:
    runs = sample.observations()
    return list(study_figures(sample.analysis(runs), runs, sample.facts(runs).predictions).values())


def test_every_axis_has_a_title_with_its_unit() -> None:
    for drawn in every_figure():
        for panel in drawn.panels:
            axes = {
                (channel, encoding["axis"]["title"])
                for layer in panel.specification["layer"]
                for channel, encoding in layer["encoding"].items()
                if "axis" in encoding
            }
            if drawn.name == "verdict":
                axes -= {("y", "")}  # its rows are named one by one
            assert {channel for channel, _ in axes} >= {"x"}
            for _, title in axes:
                assert UNITS.search(title), (panel.name, title)


def test_every_caption_is_one_sentence() -> None:
    for drawn in every_figure():
        assert drawn.caption.endswith("."), drawn.name
        assert len(re.findall(r"[.!?](?:\s|$)", drawn.caption)) == 1, drawn.caption


def contrast(color: str) -> float:
    """How far a colour stands out from white (WCAG 2.2); 4.5 is what small words need."""
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (0.05 + sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


def test_words_in_a_family_s_colour_can_be_read() -> None:
    styles = theme.family_styles(("nfnet", "vit", "a", "b", "c", "d", "e"))
    assert {name: round(contrast(style.text), 1) for name, style in styles.items() if contrast(style.text) < 4.5} == {}


def test_points_that_rest_on_one_seed_carry_the_noise_between_seeds() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    for name in ("isoflop", "tuning"):
        for noise, drawn in ((0.02, True), (None, False)):
            shown = study_figures(dataclasses.replace(analysis, seed_noise=noise), runs)[name]
            bars = [
                row
                for layer in shown.panels[0].specification["layer"]
                if layer["mark"]["type"] == "rule" and "y2" in layer["encoding"]
                for row in layer["data"]["values"]
            ]
            assert bool(bars) == drawn
            assert ("noise between seeds" in shown.reading) == drawn
            for row in bars:
                assert row["high"] / row["y"] <= math.exp(1.645 * 0.02) + 1e-3


def test_families_at_one_budget_stand_side_by_side() -> None:
    offsets = {
        layer["mark"].get("xOffset", 0.0)
        for layer in figure("loss").panels[0].specification["layer"]
        if layer["mark"]["type"] == "point"
    }
    assert len(offsets) == 2
    assert sum(offsets) == 0


def test_a_bad_learning_rate_does_not_flatten_the_picture_and_is_counted() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    wild = tuple(dataclasses.replace(run, loss=4.6) if run.role == "search" else run for run in runs)
    shown = study_figures(analysis, wild)["loss"]
    top = max(winner.loss.estimate for winner in analysis.winners)
    assert shown.panels[0].specification["layer"][0]["encoding"]["y"]["scale"]["domain"][1] < max(2 * top, 5.5)
    assert f"Above the panel: {sum(run.role == 'search' for run in runs)} runs" in shown.reading or top > 3


def test_a_currency_without_an_interval_has_a_row_that_says_so() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    first, second = analysis.comparisons
    refused = dataclasses.replace(
        second.overall, difference=None, verdict="cannot tell", reasons=(SecondsDoNotRise(family="vit"),)
    )
    second = dataclasses.replace(second, overall=refused, per_budget=())
    figures = study_figures(dataclasses.replace(analysis, comparisons=(first, second)), runs)
    assert "no interval" in draw_svg(figures["verdict"].panels[0].specification, "verdict")
    assert "no interval could be drawn" in figures["verdict"].caption
    assert "By device-seconds nothing is drawn: the device-seconds of ViT do not rise" in figures["difference"].reading


def test_sizes_set_side_by_side_stay_nearer_to_their_own_rate_than_to_the_next() -> None:
    panel = figure("learning-rate").panels[0].specification
    low, high = panel["layer"][0]["encoding"]["y"]["scale"]["domain"]
    octave = panel["height"] * math.log(2) / math.log(high / low)
    shifts = {layer["mark"].get("yOffset", 0.0) for layer in panel["layer"]}
    assert len(shifts) > 1
    assert max(map(abs, shifts)) <= octave / 4


def test_the_difference_is_drawn_with_its_band_its_trend_and_where_it_crosses_zero() -> None:
    by_flops, by_seconds = figure("difference").panels
    kinds = [layer["mark"]["type"] for layer in by_flops.specification["layer"]]
    assert kinds.count("area") == 1
    assert kinds.count("line") == 2
    words = [row.get("text", "") for layer in by_flops.specification["layer"] for row in layer["data"]["values"]]
    assert any(text.startswith("the trend crosses zero at 10¹¹") for text in words)
    shapes = {layer["mark"].get("shape") for layer in by_seconds.specification["layer"]}
    assert "triangle-up" not in shapes, "by device-seconds no crossover is quoted"


def test_without_a_curve_the_verdicts_are_joined_by_a_line() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    bare = dataclasses.replace(
        analysis,
        comparisons=tuple(
            dataclasses.replace(each, curve=DifferenceCurve(status=(NoNoise(),))) for each in analysis.comparisons
        ),
    )
    layers = study_figures(bare, runs)["difference"].panels[0].specification["layer"]
    assert [layer["mark"]["type"] for layer in layers].count("line") == 1
    assert "area" not in [layer["mark"]["type"] for layer in layers]


def test_without_vl_convert_one_sentence_says_what_is_kept_and_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(WorkError, match=r"what was trained is kept: pip install vl-convert-python and run"):
        draw_png("<svg/>")


def test_every_best_rate_bears_the_number_of_its_size_and_the_list_says_which_that_is() -> None:
    for panel in figure("learning-rate").panels:
        layers = panel.specification["layer"]
        texts = [row["text"] for layer in layers if layer["mark"]["type"] == "text" for row in layer["data"]["values"]]
        listed = dict(text.split(" ", 1) for text in texts if " " in text)
        points = [row for layer in layers if layer["mark"]["type"] == "point" for row in layer["data"]["values"]]
        borne = [text for text in texts if " " not in text]
        assert len(borne) == len(points) > len(listed)
        named = [row["text"].split("\n")[0].partition(" ")[2].partition(" at ")[0] for row in points]
        assert [listed[number] for number in borne] == named, "in the order of drawing: a mark, then its number"


def test_of_many_sizes_few_rates_are_drawn_and_the_figure_says_how_many() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    first = analysis.learning_rates[0]
    many = [dataclasses.replace(first, model=f"nfnet:w{8 + size}-d1", params=1e4 + size) for size in range(40)]
    drawn = study_figures(dataclasses.replace(analysis, learning_rates=tuple(many)), runs)["learning-rate"]
    (panel,) = drawn.panels
    assert sum(layer["mark"]["type"] == "point" for layer in panel.specification["layer"]) == 6
    assert "Of 40 sizes 6 are drawn" in drawn.reading


def test_texts_of_a_flat_axis_do_not_touch_one_another():
    wide = log_axis("training compute in FLOPs", [7.78e9, 6.4e10])
    assert [tick for tick, _ in wide.ticks] == [1e10, 2e10, 5e10], "5x10^10 and 7x10^10 were printed over each other"
    short = log_axis("held-out loss", [0.45, 3.2], text=numbers.plain)
    assert [tick for tick, _ in short.ticks] == [0.5, 0.7, 1.0, 2.0, 3.0]
