"""The command `burnish`: one file per command group, assembled here; every failure leaves in one shape."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import typer

from burnish.cli import (
    chat,
    circle,
    data,
    deploy,
    doctor,
    export,
    feedback,
    forget,
    monitor,
    predict,
    retrain,
    runs,
    say,
    train,
)
from burnish.cli.edge import end_on_signals, quiet_libraries
from burnish.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_PROBLEM,
    EXIT_USAGE,
    BurnishError,
    fail,
)
from burnish.models.shortage import is_shortage, memory_full

# typer carries its own copy of click since 0.16; its public exceptions lead to the right family either way
_CommandLineError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

_TRAIN_PACKAGES = frozenset(
    {
        "torch",
        "transformers",
        "peft",
        "sklearn",
        "scipy",
        "matplotlib",
        "rouge_score",
        "nltk",
        "sacrebleu",
    }
)

app = typer.Typer(
    name="burnish",
    help="Supervised fine-tuning from labelled rows to a deployed model, with every number proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _group in (
    circle,
    train,
    predict,
    deploy,
    export,
    chat,
    feedback,
    monitor,
    retrain,
    forget,
    doctor,
):
    _group.add_to(app)
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code; see docs/errors.md for what each means."""
    quiet_libraries()
    end_on_signals()
    sys.exit(_code_of(arguments))


def _code_of(arguments: list[str] | None) -> int:
    try:
        code = typer.main.get_command(app).main(
            args=arguments, prog_name="burnish", standalone_mode=False
        )
    except BurnishError as error:
        say.problem(error)
        return error.exit_code
    except _CommandLineError as error:
        told: Any = error
        # asked for by saying nothing: its message is the help itself
        if type(error).__name__ == "NoArgsIsHelpError":
            say.result(told.format_message())
        else:
            say.problem(_usage(told))
        return EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        say.progress("stopped; nothing half-done was kept. The same command continues.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # the reader of our output (head, less) has gone: not our fault, nothing to say
        sys.stderr.close()
        return EXIT_DONE
    except Exception as error:  # noqa: BLE001 - the last line of defence: told, kept, re-raised as exit 70
        told = _outside_of_us(error)
        if told is None:
            raise SystemExit(_told_bug(error)) from None
        say.problem(told)
        return EXIT_PROBLEM
    return code if isinstance(code, int) else EXIT_DONE


def _outside_of_us(error: Exception) -> BurnishError | None:
    """The problem behind an error that the machine or the installation made, None when it is a fault of ours."""
    if is_shortage(error):
        return memory_full(error)
    if isinstance(error, OSError):
        return _outside(error)
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        return _extra(package) if package in _TRAIN_PACKAGES else None
    return None


def _usage(error: Any) -> BurnishError:
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "burnish"
    return fail(
        "usage",
        error.format_message(),
        where=command,
        expected="the options shown by --help",
        fix=f"{command} --help",
        exit_code=EXIT_USAGE,
    )


def _outside(error: OSError) -> BurnishError:
    import errno

    name = Path(str(error.filename)).name if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return fail(
            "disk-full",
            "no space left on the device",
            where=name,
            fix="free some space and run the same command again: it continues",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return fail(
            "not-writable",
            error.strerror or "permission denied",
            where=name,
            fix="check the folder's permissions, or work in another folder",
        )
    return fail(
        "system",
        error.strerror or str(error),
        where=name,
        fix="mend what the system reports and run the same command again",
    )


def _extra(package: str) -> BurnishError:
    return fail(
        "extra-missing",
        f"the package {package} is not installed",
        where="this environment",
        expected="the train extra: torch, transformers, peft, scikit-learn, scipy, matplotlib, rouge-score, sacrebleu",
        fix="pip install 'burnish[train]' (README, Install: how to get torch for CPU or CUDA)",
    )


def _told_bug(error: Exception) -> int:
    say.problem(_bug(error))
    return EXIT_BUG


def _bug(error: Exception) -> BurnishError:
    with tempfile.NamedTemporaryFile(
        "w", prefix="burnish-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as kept:
        kept.write("".join(traceback.format_exception(error)))
    return fail(
        "bug",
        f"this is a fault of Burnish: {type(error).__name__}",
        where=kept.name,
        expected="an answer or a clear problem",
        fix="report it with that file; your data and finished work are untouched",
    )
