"""burnish train, evaluate, decide: the middle of the circle, one stage at a time."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.cli.options import (
    HERE,
    BaseOption,
    EpochsOption,
    JsonOption,
    MethodOption,
    ProjectOption,
    RateOption,
    SaveEveryOption,
    SeedOption,
    TokensOption,
)
from burnish.errors import EXIT_DONE, EXIT_GATE, fail


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(decide)


def train(
    project: ProjectOption = HERE,
    base: BaseOption = None,
    method: MethodOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    max_tokens: TokensOption = None,
    seed: SeedOption = None,
    save_every: SaveEveryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune, or continue a training that was stopped."""
    from burnish import curate, lifecycle
    from burnish.project import open_project, using_rows

    opened = open_project(project)
    recipe = recipe_of(
        project,
        base=base,
        method=method,
        epochs=epochs,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    edge = terminal_edge(save_every_seconds=save_every)
    with using_rows(opened):
        prepared = curate.prepare(opened, edge, recipe=recipe)
        model = lifecycle.fetch(opened, prepared, recipe, edge)
        run = lifecycle.train(opened, prepared, recipe, edge, base=model)
    if as_json:
        say.as_json(run.model_dump(mode="json"))
        return
    judged = "loss a token" if opened.task.writes else opened.task.primary_metric
    best = run.best_validation or 0.0
    say.result(f"run {run.id}: best {judged} on validation "
               f"{-best if opened.task.writes else best:.4f} at step {run.best_step} of {run.steps}")  # fmt: skip
    say.result(f"weights {run.weights_sha256}")
    say.result(f"next: burnish evaluate {run.id}")


def evaluate(
    run: Annotated[str, typer.Argument(help="The run's id, or its first characters.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Measure a run on the test rows beside every baseline; judge the gates. Exit code 3: a gate said no."""
    from burnish import curate, lifecycle
    from burnish.decide.decision import TUNED
    from burnish.project import open_project, using_rows

    opened = open_project(project)
    edge = terminal_edge()
    found = lifecycle.read_run(opened, run)
    with using_rows(opened):
        prepared = curate.prepare(opened, edge, recipe=found.recipe)
        base = lifecycle.fetch(opened, prepared, found.recipe, edge)
        proof = lifecycle.prove(opened, prepared, found.recipe, edge, base=base, run=found)
        path = lifecycle.write_reports(opened, prepared, proof=proof, run=found)
    report = proof.reports[TUNED]
    if as_json:
        say.as_json(report.model_dump(mode="json"))
    else:
        say.table(
            ["measure", "value", "95% interval", "n"],
            [
                [
                    one.name,
                    f"{one.value:.4f}",
                    "" if one.low is None else f"{one.low:.4f}-{one.high:.4f}",
                    str(one.n),
                ]
                for one in report.measures
            ],
        )
        say.result(proof.decision.sentence)
        for gate in report.gates:
            say.result(f"gate {'passed' if gate.passed else 'FAILED'}: {gate.gate} ({gate.found})")
        say.result(f"report {path}")
    return EXIT_DONE if report.verdict == "passed" else EXIT_GATE


def decide(
    project: ProjectOption = HERE,
    base: BaseOption = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="A server with OpenAI's API as a candidate, for instance http://HOST:8000/v1."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name at the endpoint.")] = None,
    prompt_price: Annotated[
        float | None, typer.Option(min=0, help="What a million tokens of prompts cost there.")
    ] = None,
    answer_price: Annotated[
        float | None, typer.Option(min=0, help="What a million tokens of answers cost there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what exists without training: baselines, the prompted base, an endpoint.

    The endpoint's key is read from BURNISH_ENDPOINT_KEY, else OPENAI_API_KEY.
    """
    from burnish import curate, lifecycle
    from burnish.decide.endpoint import Endpoint
    from burnish.project import open_project, using_rows

    opened = open_project(project)
    recipe = recipe_of(
        project, base=base, method=None, epochs=None, learning_rate=None, max_tokens=None, seed=None
    )
    if (endpoint is None) != (model is None):
        raise fail(
            "usage",
            "--endpoint and --model go together",
            expected="both, or neither",
            fix="burnish decide --endpoint URL --model NAME",
        )
    asked = None
    if endpoint is not None and model is not None:
        key = os.environ.get("BURNISH_ENDPOINT_KEY") or os.environ.get("OPENAI_API_KEY")
        asked = Endpoint(endpoint, model, key, prompt_price, answer_price)
    edge = terminal_edge()
    with using_rows(opened):
        prepared = curate.prepare(opened, edge, recipe=recipe)
        fetched = lifecycle.fetch(opened, prepared, recipe, edge)
        proof = lifecycle.prove(
            opened, prepared, recipe, edge, base=fetched, run=None, endpoint=asked
        )
        path = None
        if not as_json:
            path = lifecycle.write_reports(opened, prepared, proof=proof, run=None)
    if as_json:
        say.as_json(proof.decision.model_dump(mode="json"))
        return
    say.table(
        ["candidate", opened.task.primary_metric, "ms a row", "explains"],
        [
            [one.title, f"{one.quality.value:.3f}", f"{one.latency_ms:.1f}", one.explains]
            for one in proof.decision.candidates
        ],
    )
    say.result(proof.decision.sentence)
    say.result(f"report {path}")
    say.result("next: burnish run measures whether fine-tuning adds to that")
