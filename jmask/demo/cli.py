"""The commands: `python -m jmask` trains, shows and proves; `python -m jmask tag` uses what was saved."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from ..core.lazy import MissingExtraError
from .errors import DemoError

_DESCRIPTION = """\
Trains a bidirectional masked LSTM that finds the code words in the
documentation of the running Python, or the tags of a file of yours, and proves
that padding changes neither its answers nor its gradients."""
_EPILOG = """\
examples:
  python -m jmask                                    a minute on two cores
  python -m jmask --save tagger --plot training.png
  python -m jmask --save tagger --resume             go on after Ctrl-C or a crash
  python -m jmask tag tagger "the assert statement"  tag text with what was saved
  python -m jmask tag --help

Most of the time goes into compiling. With the environment variable
JAX_COMPILATION_CACHE_DIR set to a folder, JAX keeps the compiled programs there,
and the next run starts training at once.

Exit codes: 0 all is well, 1 the proof fails, 2 the input is wrong, 130 stopped
by Ctrl-C."""
_USAGE = """\
python -m jmask [--data FILE] [--save DIR [--resume]]
                       [--plot FILE.png] [--epochs N] [--seed N]
       python -m jmask tag DIR [TEXT ...]"""
_TAG_DESCRIPTION = "Tags text with a model that `python -m jmask --save DIR` has saved."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words behind the command; default: those of the command line.

    Returns:
        The exit code: 0, or 1 if the proof fails, or 2 for bad input, or 130 when interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode is no reason to stop
    try:
        if arguments[:1] == ["tag"]:
            options = _tag_parser().parse_args(arguments[1:])
            from .commands import tag

            return tag(options.directory, options.text, conll=options.conll)
        options = _train_parser().parse_args(arguments)
        from .commands import demonstrate

        return demonstrate(
            data=options.data,
            save=options.save,
            resume=options.resume,
            plot=options.plot,
            epochs=options.epochs,
            seed=options.seed,
        )
    except (DemoError, MissingExtraError) as error:
        print(f"jmask: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        is_kept = "--save" in arguments or any(argument.startswith("--save=") for argument in arguments)
        print(f"jmask: interrupted{'; --resume goes on' if is_kept else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m jmask",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="train on this file: a token first and its tag last on each line, a blank line between sentences "
        "(CoNLL-2003 and its kin), or CoNLL-U",
    )
    parser.add_argument(
        "--save",
        metavar="DIR",
        help="keep the trained tagger in this folder, and in DIR/run checkpoints (after each epoch and each minute), "
        "log.csv, and files for TensorBoard if tensorboardX is installed",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the folder of --save exactly where it was saved, or begin if there is none",
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw loss, F1 and a map of the padding into this file")
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=_positive,
        default=5,
        help="passes over the training sentences, with those before --resume (default 5)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=_natural, default=0, help="of the split and of everything random (default 0)"
    )
    return parser


def _tag_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jmask tag", description=_TAG_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("directory", metavar="DIR", help="the folder given to --save")
    parser.add_argument(
        "text", metavar="TEXT", nargs="*", help="texts to tag; without any, lines are read from the standard input"
    )
    parser.add_argument(
        "--conll", action="store_true", help="print a token and its tag on each line, as --data reads them"
    )
    return parser


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _natural(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}; received {text!r}")
    return int(text)
