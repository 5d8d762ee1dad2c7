"""The command line starts quickly, loads no torch, and answers bad input with what to do and exit code 2."""

import json
import re
import subprocess
import sys
from importlib import resources

import pytest

from levelfield.study.race.design import race_study
from levelfield.study.run import data_facts, opened
from levelfield.study.spec_file import load_study, quickstart_study, quickstart_text, study_schema
from tests.conftest import TINY_STUDY, run
from tests.narrowed import present
from tests.study.pictures import FOLDER_STUDY, write_folder
from tests.study.typed import TYPED_LADDER

HEAVY = ("torch", "timm", "sklearn", "pandas", "altair", "ray")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["count", "nfnet:F0"],
        ["families"],
        ["reference"],
        ["quickstart", "--spec"],
        ["plan", "--schema"],
    ],
)
def test_a_verb_that_builds_no_model_loads_nothing_heavy(arguments):
    assert loaded_by(arguments) == []


@pytest.mark.slow
def test_planning_a_study_loads_no_torch(tiny_study):
    assert loaded_by(["plan", str(tiny_study), "--no-calibrate"]) == []


def loaded_by(arguments):
    script = (
        "import sys; sys.argv = ['levelfield', *sys.argv[1:]]\n"
        "from levelfield.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('LOADED', [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(present(re.search(r"LOADED (\[.*\])", done.stderr))[1].replace("'", '"'))


def test_the_shipped_schema_is_the_schema_of_the_spec():
    shipped = resources.files("levelfield.study").joinpath("study.schema.json").read_text()
    assert shipped == study_schema(), "write it anew: levelfield plan --schema > src/levelfield/study/study.schema.json"


@pytest.mark.slow
def test_the_bill_is_printed_before_anything_is_spent(tiny_study, tmp_path):
    done = run("plan", tiny_study, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert re.search(r"about \d+ trials are expected, \d+ at most", done.stdout)
    assert "here with 2 workers, at most" in done.stdout
    assert "smallest decidable margin" in done.stdout
    assert list(tmp_path.iterdir()) == [tiny_study]
    again, anew = (run("plan", tiny_study, "--workers", 2, *more) for more in ((), ("--anew",)))
    assert again.stdout == done.stdout, "what was measured is kept"
    assert anew.stdout != done.stdout, "but not where it is to be measured again"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("[ladder]", "[laddder]"), "did you mean 'ladder'?"),
        (("batch_coefficient", "batch_coeficient"), "did you mean 'batch_coefficient'?"),
        (("nfnet:w4-d1-s4", "nfnet:w4-q1"), "nfnet"),
        (("vit:w8-d1-p8", "vit:w8-d1-p7"), "multiple"),
        (("nfnet-short", "nfnet-shrt"), "did you mean 'nfnet-short'?"),
        (('source = "digit-pairs"', 'source = "imagenet"'), "Input should be one of 'digit-pairs'"),
        (("budgets = [1.36e8]", "budgets = [9e5]"), "fewer than 500"),
        (('name = "tiny"', "name = tiny"), "is not TOML"),
    ],
)
def test_a_study_that_cannot_be_meant_is_answered_with_exit_code_2(edit, message, tmp_path, invoke):
    path = tmp_path / "study.toml"
    assert edit[0] in TINY_STUDY
    path.write_text(TINY_STUDY.replace(*edit))
    code, _, error = invoke("run", path, "--dir", tmp_path / "study")
    assert code == 2
    assert message in error


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("budgets = [1.36e8]", "budgets = [9e5]"),
            "the protocol allows no cell of this study (nfnet:w4-d1-s4 at 9×10⁵",
        ),
        (('recipe = "vit-short"', 'recipe = "vit-short"\noverride = { optimizer = "evil" }'), "saw 'evil'"),
        (('recipe = "vit-short"', 'recipe = "vit-short"\noverride = { momentum = 0.8 }'), "would change nothing"),
        (('name = "tiny"', 'name = "../../tiny"'), "name must be a name of at most 100 bytes without '/'"),
        (
            ('name = "tiny"', 'name = "tiny"\nexecution.threads = 2024-01-01'),
            "date values such as 2024-01-01 mean nothing",
        ),
        (('name = "tiny"', 'name = "tiny"\nexecution.threads = ' + 9999 * "9"), "integer string conversion"),
        (('name = "tiny"', 'name = "tiny"\nexecution.threads = ' + 9999 * "["), "nested deeper than any study"),
        (('name = "tiny"', 'name = "tiny"\nexecution.threads = true'), "valid integer, saw True"),
        (("batch_coefficient", "x = 0 #" + 2**20 * "-" + "\nbatch_coefficient"), "expected at most 1,048,576"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_planning_refuses_what_running_could_not_mean(edit, message, tmp_path, invoke):
    path = tmp_path / "study.toml"
    assert edit[0] in TINY_STUDY
    path.write_text(TINY_STUDY.replace(*edit))
    for command in (("plan", path, "--no-calibrate"), ("run", path, "--dir", tmp_path / "study")):
        code, _, error = invoke(*command)
        assert (code, message in error) == (2, True), error
    assert not (tmp_path / "study" / "study.json").exists()


@pytest.mark.slow
def test_planning_says_what_the_design_cannot_decide_to_readers_and_to_programs(tmp_path, invoke):
    (tmp_path / "study.toml").write_text(TYPED_LADDER)
    code, output, _ = invoke("plan", tmp_path / "study.toml", "--no-calibrate")
    assert code == 0
    assert "What this design cannot decide, whatever comes out" in output
    assert "nothing but 'better' for NFNet can come out" in output
    assert "families that are equal could not be called equivalent within 0.05" in output
    code, output, _ = invoke("plan", tmp_path / "study.toml", "--no-calibrate", "--json")
    told = json.loads(output)
    assert code == 0
    assert {each["question"] for each in told["undecidable"]} == {"one side", "verdict", "optimal size"}
    assert told["no_verdict_at_all"] is False
    assert told["smallest_decidable_margin"] > told["margin"] == 0.05


@pytest.mark.parametrize("options", [("--target", "1e12"), ("--want", "size"), ("--params", "N")])
def test_options_of_next_trials_are_none_of_a_plan(options, tiny_study, invoke):
    code, _, error = invoke("plan", tiny_study, "--no-calibrate", *options)
    assert (code, f"No such option: {options[0]}" in error) == (2, True)


def test_results_are_not_planned_but_what_to_run_next_is_named(tmp_path, invoke):
    for place in (tmp_path, tmp_path / "runs.csv"):
        code, _, error = invoke("plan", place)
        assert (code, error.count("\n")) == (2, 1)
        assert f"`levelfield next {place}` says what to run next" in error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status", "nowhere"], 2, "holds no study"),
        (["count", "resnet:50"], 2, "nfnet"),
        (["count", "nfnet:F0", "--device", "h100-sxm"], 2, "--examples"),
        (["count", "nfnet:F0", "--examples", "-1"], 2, "must be positive"),
        (["run", "nowhere.toml"], 2, "does not exist"),
        (["run", "nowhere.toml", "--retry", "all"], 2, "--retry takes 'failed'"),
        (["fit", "nowhere.csv"], 2, "nowhere.csv"),
        (["predict", "nowhere", "--budget", "1e12"], 2, "nowhere"),
        (["plann"], 2, "plan"),
    ],
)
def test_bad_arguments_are_answered_in_one_line(arguments, code, message, invoke):
    seen, _, error = invoke(*arguments)
    assert seen == code
    assert message in error


def test_counting_prints_the_papers_number_as_json(invoke):
    _, output, _ = invoke("count", "nfnet:F7+", "--resolution", 224, "--examples", "32e9", "--json")
    answer = json.loads(output)
    assert answer["train_flops"] / 1e18 == pytest.approx(21_347, abs=1)


def test_counting_knows_the_head_that_answers_every_pixel_and_what_is_frozen(invoke):
    def counted(*options):
        return json.loads(invoke("count", "vit:S/16", "--resolution", 96, "--num-outputs", 11, *options, "--json")[1])

    pooled, pixels, linear = (
        counted(*options) for options in ((), ("--output-stride", 8), ("--output-stride", 8, "--frozen"))
    )
    assert pixels["params"] == pooled["params"] + 2 * 384, "a norm more"
    assert pixels["forward_macs"] > pooled["forward_macs"] + 11 * 384 * 144 - 11 * 384, "a map of 12 x 12 cells"
    assert linear["forward_macs"] == pixels["forward_macs"]
    assert 2 * linear["forward_macs"] < linear["train_flops_per_example"] < 2.2 * linear["forward_macs"]


def test_the_quickstart_prints_the_study_it_runs(tmp_path, invoke):
    _, output, _ = invoke("quickstart", "--spec")
    path = tmp_path / "study.toml"
    path.write_text(output)
    assert load_study(path) == quickstart_study()


def test_the_quickstart_is_the_race_of_its_budget():
    quick = quickstart_study()
    facts = data_facts(opened(quick.data), quick.task)
    race = race_study(
        quick.data, facts, ("nfnet", "vit"), quick.ladder.budgets[-1], axes=(), margin=0.05, seeds=5,
        name=quick.name, question=quick.question, execution=quick.execution,
    )  # fmt: skip
    assert quick == race


def test_the_quickstart_goes_on_with_no_race_but_its_own(tmp_path, invoke):
    (tmp_path / "study.toml").write_text(quickstart_text().replace('name = "quickstart"', 'name = "race-photos"'))
    code, _, error = invoke("quickstart", "--dir", tmp_path)
    assert code == 2
    assert "holds the race 'race-photos'" in error


def test_planning_finds_data_that_has_moved(tmp_path, invoke):
    write_folder(tmp_path / "elsewhere", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    command = ("plan", tmp_path / "pictures.toml", "--no-calibrate")
    code, _, error = invoke(*command)
    assert (code, "images" in error) == (2, True)
    code, output, error = invoke(*command, "--data", tmp_path / "elsewhere")
    assert code == 0, error
    assert re.search(r"about \d+ trials are expected, \d+ at most", output)


@pytest.mark.slow
def test_the_bill_counts_the_report_images_that_there_are(tmp_path, invoke):
    for part, count in (("images", 30), ("judges", 4)):
        write_folder(tmp_path / part, seed=count, count=count)
    study = FOLDER_STUDY.replace('path = "images"', 'path = "images"\nreport_path = "judges"')
    (tmp_path / "pictures.toml").write_text(study)
    write_folder(tmp_path / "other", seed=9, count=7)
    code, _, error = invoke("plan", tmp_path / "pictures.toml", "--no-calibrate")
    assert code == 2
    assert "6 report examples are asked for, but the data has a report split of its own that holds 8" in error
    (tmp_path / "pictures.toml").write_text(study.replace("report_examples = 6", "report_examples = 8"))
    code, output, _ = invoke("plan", tmp_path / "pictures.toml", "--no-calibrate")
    assert code == 0
    assert "and 8 report examples" in output
    (tmp_path / "pictures.toml").write_text(study.replace("report_examples = 6", ""))
    code, output, _ = invoke("plan", tmp_path / "pictures.toml", "--no-calibrate", "--report-data", tmp_path / "other")
    assert "and 14 report examples" in output
