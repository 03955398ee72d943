"""What the command lines share: flags, and one line for every mistake.

Neither this file nor a command imports JAX before the flags are checked, so
`--help` and a refused flag take a fraction of a second.
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
FILES = ("config", "study")  # flags that name a file
REMEDIES = {
  errno.ENOSPC: "make room on that disk",
  errno.EDQUOT: "make room in your quota",
  errno.EROFS: "name a folder on a disk that can be written",
  errno.EACCES: "get the right to use it, or name another path",
}

COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  os.path.join(CACHE, "seqsum"),
  "Where compiled programs are kept for the next start; '' keeps none.",
)
VERSION = flags.DEFINE_bool("version", False, "Print the version and exit.")
LIST_CONFIGS = flags.DEFINE_bool(
  "list_configs",
  False,
  "List the config files that come with seqsum by name, and exit.",
)


def enable_compilation_cache() -> None:
  """Makes JAX keep what it compiles where --compilation_cache says."""
  if COMPILATION_CACHE.value:
    import jax

    jax.config.update("jax_compilation_cache_dir", COMPILATION_CACHE.value)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@contextlib.contextmanager
def mistakes() -> Iterator[None]:
  """Whatever absl and ml_collections raise becomes one line."""
  try:
    yield
  except InputError:
    raise
  except (AttributeError, KeyError) as error:
    words = str(error)
    with contextlib.suppress(SyntaxError, ValueError):
      while True:  # a KeyError's words are the repr of a repr
        words = ast.literal_eval(words)
    words = " ".join(words.split())
    raise InputError(f"unknown config field {words}") from error
  except ImportError as error:
    words = " ".join(str(error).split())
    raise InputError(f"a config file's import failed: {words}") from error
  except (flags.Error, IndexError, OSError, SyntaxError, ValueError) as error:
    raise InputError(" ".join(str(error).split())) from error


def expand_home(arg: str) -> str:
  """Expands ~/x and --flag=~/x, which a shell leaves as it is behind '='."""
  flag, path = re.fullmatch(r"(--?[\w.]+=|)(.*)", arg, re.DOTALL).groups()
  return flag + os.path.expanduser(path)


def find_files(argv: list[str]) -> list[str]:
  """argv with the paths that --config and --study stand for.

  Raises:
    InputError: One of them is not a file.
  """
  found, rest = [], list(argv)
  while rest:
    arg = rest.pop(0)
    name, equals, value = arg.lstrip("-").partition("=")
    if arg.startswith("-") and name in FILES and name in flags.FLAGS:
      if not equals and rest:  # --config sum_tiny
        value = rest.pop(0)
      arg = f"--{name}={config_files.find(name, value)}"
    found.append(arg)
  return found


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, except that every mistake is one line."""
  argv = [expand_home(arg) for arg in argv]
  flags.FLAGS.set_gnu_getopt(True)  # flags may stand behind arguments
  try:
    with mistakes():
      rest = flags.FLAGS(find_files(argv))
  except SystemExit:  # after --help, which is no error; absl exits with 1
    sys.exit(0)
  if flags.FLAGS["verbosity"].using_default_value:
    flags.FLAGS.verbosity = -1  # warnings; app.run would make it 0
  return rest


def _is_not_orbax(record: stdlib_logging.LogRecord) -> bool:
  """Orbax logs a traceback for what `checkpoint` says in one line."""
  return f"{os.sep}orbax{os.sep}" not in record.pathname


class _LogFormatter(stdlib_logging.Formatter):
  """Formats warnings and errors as the commands print them."""

  def format(self, record: stdlib_logging.LogRecord) -> str:
    return f"seqsum: {record.levelname.lower()}: {super().format(record)}"


def _say_unless_closed(unraisable) -> None:
  """As Python says what nobody can catch, but for one such error.

  When a save has failed, TensorStore's writes still end one by one and call
  into an event loop that Orbax has closed.
  """
  if str(unraisable.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(unraisable)


def describe(error: OSError) -> str:
  """A system's error in one line: the path, the reason and the remedy."""
  if error.filename is None:
    return str(error)
  path = os.fsdecode(error.filename)
  remedy = REMEDIES.get(error.errno, "mend that")
  return f"{path}: {error.strerror}; {remedy}, and give the same command again"


def _is_out_of_memory(error: Exception) -> bool:
  """Whether the machine or a device has too little memory for a program."""
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
  """What `python -m seqsum...` does.

  Args:
    main: Gets the arguments that are no flags, each as one; returns the exit
      code.
    parse: argv -> argv without flags.
    arguments: How many `main` takes at most.
  """

  signals.end_on_interrupt()
  streams.reopen()

  def start(argv: list[str]) -> int:
    streams.protect()
    logging.get_absl_logger().addFilter(_is_not_orbax)
    logging.get_absl_handler().setFormatter(_LogFormatter())
    sys.unraisablehook = _say_unless_closed
    # asyncio logs as errors the failed writes that Orbax did not wait for, and
    # these two, with a traceback, whatever they raise as well.
    for name in ("asyncio", "fsspec", "gcsfs"):
      stdlib_logging.getLogger(name).setLevel(stdlib_logging.CRITICAL)
    _, *rest = argv
    if len(rest) > arguments:
      raise InputError(
        f"unexpected argument {rest[arguments]!r}: options begin with --"
      )
    if VERSION.value:
      print(f"seqsum {metadata.version('seqsum')}")
      return 0
    if LIST_CONFIGS.value:
      print(config_files.describe())
      return 0
    code = main(*rest)
    sys.stdout.flush()  # a full disk is an error here, and not at the exit
    return code

  try:
    app.run(start, flags_parser=parse)
  except (InputError, Diverged, ProcessLost) as error:
    sys.exit(f"seqsum: {error}")
  except OSError as error:
    sys.exit(f"seqsum: {describe(error)}")
  except Exception as error:
    if _is_out_of_memory(error):
      sys.exit(
        "seqsum: out of memory: lower config.batch_size, raise "
        f"config.accumulate, or take a smaller model ({one_line(error)})"
      )
    if not is_outage(error):
      raise
    sys.exit(f"seqsum: object storage cannot be reached: {one_line(error)}")
  except KeyboardInterrupt:  # a second Ctrl-C: at once
    sys.exit(128 + signal.SIGINT)
