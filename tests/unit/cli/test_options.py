import typer
from typer.testing import CliRunner

from farm.cli.options import Given, OptionGroup, generated
from farm.domain.detailer import Detailer
from farm.domain.job import JobRequest

app = typer.Typer()
seen: list[Given] = []


@app.command()
@generated(job=OptionGroup(JobRequest, "Job", ("type", "chunk", "outputs")), detailer=OptionGroup(Detailer, "Detailer"))
def submit(clip: str, job: Given, detailer: Given) -> None:
    seen.append({"clip": clip, "job": job, "detailer": detailer})


def run(*arguments: str) -> tuple[int, str]:
    seen.clear()
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160", "TERM": "dumb"})
    return result.exit_code, result.output


def test_only_what_was_given_is_passed_on() -> None:
    assert run("a.mp4")[0] == 0
    assert seen == [{"clip": "a.mp4", "job": {}, "detailer": {}}]


def test_values_have_the_types_of_the_model() -> None:
    code, text = run(
        "a.mp4", "--denoise", "0.35", "--steps", "8", "--no-mask-mode", "--noise", "shared", "--type", "animatediff"
    )
    assert code == 0, text
    assert seen[0]["detailer"] == {"denoise": 0.35, "steps": 8, "mask_mode": False, "noise": "shared"}
    assert seen[0]["job"] == {"type": "animatediff"}


def test_every_parameter_of_the_detailer_is_an_option_with_its_docstring() -> None:
    code, text = run("--help")
    assert code == 0
    for name in Detailer.model_fields:
        assert f"--{name.replace('_', '-')}" in text
    assert "Share of the noise schedule" in text
    assert all(field.description for field in Detailer.model_fields.values())


def test_a_value_out_of_range_is_refused_with_the_bound() -> None:
    code, text = run("a.mp4", "--denoise", "3")
    assert code != 0
    assert "less than or equal to 1" in text


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do() -> None:
    code, text = run("a.mp4", "--noise", "loud")
    assert code != 0
    assert "independent" in text
