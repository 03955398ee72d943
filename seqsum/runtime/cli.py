"""Flags that all commands share, and errors in one line.

JAX is imported after the flags have been checked, so `--help` and a refused
flag take a fraction of a second.
"""

import ast
import contextlib
import errno
import logging as stdlib_logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

from absl import app, flags, logging

from seqsum.runtime import config_files, signals, streams
from seqsum.runtime.errors import Diverged, InputError, ProcessLost, one_line
from seqsum.runtime.object_storage import is_outage

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
FILE_FLAGS = ("config", "study")
REMEDIES = {
  errno.ENOSPC: "free space on that disk",
  errno.EDQUOT: "free space in your quota",
  errno.EROFS: "choose a folder on a writable disk",
  errno.EACCES: "get the permission, or choose another path",
}

COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  os.path.join(CACHE, "seqsum"),
  "Folder of compiled programs, for faster starts; '' turns it off.",
)
VERSION = flags.DEFINE_bool("version", False, "Print the version and exit.")
LIST_CONFIGS = flags.DEFINE_bool(
  "list_configs",
  False,
  "List the names of seqsum's config files and exit.",
)


def enable_compilation_cache() -> None:
  """Makes JAX cache compiled programs in --compilation_cache."""
  if COMPILATION_CACHE.value:
    import jax

    jax.config.update("jax_compilation_cache_dir", COMPILATION_CACHE.value)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@contextlib.contextmanager
def flag_errors() -> Iterator[None]:
  """A context that turns errors of absl and ml_collections into one line."""
  try:
    yield
  except InputError:
    raise
  except (AttributeError, KeyError) as error:
    words = str(error)
    with contextlib.suppress(SyntaxError, ValueError):
      while True:  # the message of a KeyError is the repr of a repr
        words = ast.literal_eval(words)
    words = " ".join(words.split())
    raise InputError(f"unknown config field {words}") from error
  except ImportError as error:
    words = " ".join(str(error).split())
    raise InputError(f"a config file's import failed: {words}") from error
  except (flags.Error, IndexError, OSError, SyntaxError, ValueError) as error:
    raise InputError(" ".join(str(error).split())) from error


def expand_home(arg: str) -> str:
  """Expands ~/x and --flag=~/x; shells do not expand ~ after '='."""
  match = re.match(r"--?[\w.]+=", arg)
  end = match.end() if match else 0
  return arg[:end] + os.path.expanduser(arg[end:])


def find_config_files(argv: list[str]) -> list[str]:
  """Replaces the names given to --config and --study in argv by paths.

  Raises:
    InputError: There is no such file.
  """
  found, rest = [], list(argv)
  while rest:
    arg = rest.pop(0)
    name, equals, value = arg.lstrip("-").partition("=")
    if arg.startswith("-") and name in FILE_FLAGS and name in flags.FLAGS:
      if not equals and rest:  # --config sum_tiny
        value = rest.pop(0)
      arg = f"--{name}={config_files.find(name, value)}"
    found.append(arg)
  return found


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags as absl does, with errors in one line."""
  argv = [expand_home(arg) for arg in argv]
  flags.FLAGS.set_gnu_getopt(True)  # flags may follow arguments
  try:
    with flag_errors():
      rest = flags.FLAGS(find_config_files(argv))
  except SystemExit:  # after --help; absl would exit with 1
    sys.exit(0)
  if flags.FLAGS["verbosity"].using_default_value:
    logging.set_verbosity(logging.WARNING)  # app.run would choose INFO
  return rest


def _is_not_orbax(record: stdlib_logging.LogRecord) -> bool:
  """Drops Orbax's tracebacks; `checkpoints` logs the same in one line."""
  return f"{os.sep}orbax{os.sep}" not in record.pathname


class _LogFormatter(stdlib_logging.Formatter):
  """Formats warnings and errors as the commands print them."""

  def format(self, record: stdlib_logging.LogRecord) -> str:
    return f"seqsum: {record.levelname.lower()}: {super().format(record)}"


def _print_unraisable(unraisable) -> None:
  """Prints an exception that cannot be caught, as Python does, except one.

  After a failed save, writes of TensorStore that end later call an event loop
  that Orbax has closed.
  """
  if str(unraisable.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(unraisable)


def describe_os_error(error: OSError) -> str:
  """One line with the path, the reason and the remedy."""
  if error.filename is None:
    return str(error)
  path = os.fsdecode(error.filename)
  remedy = REMEDIES.get(error.errno or 0, "fix that")
  return f"{path}: {error.strerror}; {remedy} and rerun the same command"


def _is_out_of_memory(error: Exception) -> bool:
  """Whether the machine or a device ran out of memory."""
  if isinstance(error, MemoryError):
    return True
  import jax

  is_jax = isinstance(error, jax.errors.JaxRuntimeError)
  return is_jax and "RESOURCE_EXHAUSTED" in str(error)


def run(
  main: Callable[..., int],
  parse: Callable[[list[str]], list[str]] = parse_flags,
  arguments: float = 0,
) -> None:
  """Runs a command: parses flags, calls `main` and exits with its code.

  Args:
    main: Takes the positional arguments of the command line.
    parse: argv -> argv without flags.
    arguments: Maximum number of positional arguments.
  """
  signals.end_on_interrupt()
  streams.reopen()

  def start(argv: list[str]) -> int:
    streams.protect()
    logging.get_absl_logger().addFilter(_is_not_orbax)
    logging.get_absl_handler().setFormatter(_LogFormatter())
    sys.unraisablehook = _print_unraisable
    # asyncio logs failed writes that Orbax did not wait for; fsspec and gcsfs
    # log a traceback of every error that they raise.
    for name in ("asyncio", "fsspec", "gcsfs"):
      stdlib_logging.getLogger(name).setLevel(stdlib_logging.CRITICAL)
    _, *rest = argv
    if len(rest) > arguments:
      first = rest[int(arguments)]
      raise InputError(f"unexpected argument {first!r}: options begin with --")
    if VERSION.value:
      print(f"seqsum {metadata.version('seqsum')}")
      return 0
    if LIST_CONFIGS.value:
      print(config_files.describe())
      return 0
    code = main(*rest)
    sys.stdout.flush()  # so that a full disk is an error here
    return code

  try:
    app.run(start, flags_parser=parse)
  except (InputError, Diverged, ProcessLost) as error:
    sys.exit(f"seqsum: {error}")
  except OSError as error:
    sys.exit(f"seqsum: {describe_os_error(error)}")
  except Exception as error:
    if _is_out_of_memory(error):
      sys.exit(
        "seqsum: out of memory: lower config.batch_size, raise "
        f"config.accumulate, or choose a smaller model ({one_line(error)})"
      )
    if not is_outage(error):
      raise
    sys.exit(f"seqsum: object storage cannot be reached: {one_line(error)}")
  except KeyboardInterrupt:  # a second Ctrl-C
    sys.exit(128 + signal.SIGINT)
