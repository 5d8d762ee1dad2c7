"""The boundary of the command line: whatever ends a command becomes a sentence and an exit code.

Readers turn what their libraries raise into errors that name the file (``records/errors.py``); what arrives here
otherwise is the system's refusal, a signal, or a bug of ours, which shows as one.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from levelfield.cli.console import complain
from levelfield.cli.streams import drop_output, prepare_streams
from levelfield.data.said import each_said_once
from levelfield.records.errors import InputError, LevelfieldError, RefusedError, lacks_memory

BUG = os.EX_SOFTWARE
"""Exit code of a bug of ours (sysexits: 70)."""
_OF_A_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_TRAINING = ("torch", "PIL", "safetensors", "sklearn")
"""What the extra ``train`` installs."""
_NO_READER = 128 + signal.SIGPIPE
_RESUMING = ("run", "quickstart", "race", "train", "finetune", "probe", "trial")


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is: whoever tidies up after one does after the other."""


def run_command(command: Callable[[], int]) -> int:
    """The exit code of ``command``, or of what it raised, which is told in a sentence; all output is written."""
    if not prepare_streams():
        complain("standard output is closed, so no answer can be given; send it to a file, a pipe or /dev/null")
        return 1
    earlier = signal.getsignal(signal.SIGTERM)
    if earlier != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        with each_said_once():
            return _code_of(command) or _code_of(_flush)
    except BrokenPipeError:  # nobody reads the complaints either
        drop_output(1, 2)
        return _NO_READER
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except LevelfieldError as error:
        complain(_sentence(error))
        return error.exit_code
    except KeyboardInterrupt as stop:
        resumes = any(verb in sys.argv[1:2] for verb in _RESUMING)
        complain("stopped; the same command goes on where it was" if resumes else "stopped")
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    except BrokenPipeError:  # whoever reads has enough (``| head``): end as every tool does, without a word
        drop_output(1)
        return _NO_READER
    # The boundary of the process: what nobody foresaw is told as what it is, with all that a report needs.
    except Exception as error:
        if lacks_memory(error):
            complain(f"out of memory ({_named(error)}); use fewer workers, a smaller size, batch or input")
            return 1
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _TRAINING:
            complain(
                f"{error.name} is not installed here: what trains, judges or reads pictures needs more than what fits "
                "tables; pip install 'levelfield[train]'"
            )
            return InputError.exit_code
        if isinstance(error, OSError):
            complain(_of_system(error))
            return InputError.exit_code if error.filename is not None and error.errno in _OF_A_PATH else 1
        _tell_bug(error)
        return BUG


def _sentence(error: LevelfieldError) -> str:
    if isinstance(error, RefusedError) and error.reason is not None:
        from levelfield.report.words.told import told

        return told(error.reason)
    return str(error)


def _flush() -> int:
    sys.stdout.flush()
    return 0


def _terminate(signum: int, frame: object) -> NoReturn:
    raise Terminated


def _of_system(error: OSError) -> str:
    said = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {said}; check that it exists, its permissions and its disk, then run again"
    if error.errno in _OF_OUTPUT:
        drop_output(1)
        return f"cannot write the output: {said}; send it elsewhere, or free space there"
    if not _is_somewhere():
        return "the current directory is gone; change to one that exists and run again"
    return f"the system refused: {said}"


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _tell_bug(error: Exception) -> None:
    import platform
    import shlex
    import traceback

    from levelfield import __version__

    traceback.print_exception(error)
    complain(
        f"this is a bug in Levelfield ({_named(error)}), not in your input. Results that are finished are kept. Please "
        f"report the lines above with the command, `{shlex.join(['levelfield', *sys.argv[1:]])}`, and the versions: "
        f"levelfield {__version__}, python {platform.python_version()}, {platform.platform()}"
    )


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
