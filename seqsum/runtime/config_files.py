"""The config files of seqsum, found by name from any folder.

A checkout has them in `configs/` beside this package, the wheel in
`seqsum/configs/`. Config files import each other as `configs.sum`, which works
in both cases because `find` makes the right folder importable.
"""

import ast
import difflib
import importlib.util
import pathlib
import sys

from seqsum.runtime.errors import InputError

HINT = "--list_configs lists the configs of seqsum"


def folder() -> pathlib.Path:
  """The folder of seqsum's config files."""
  here = pathlib.Path(__file__).parent.parent
  installed = here / "configs"
  return installed if installed.is_dir() else here.parent / "configs"


def names() -> list[str]:
  """Names of the config files for --config, such as `sum` and `beyond/sum8`."""
  paths = (p for p in folder().rglob("*.py") if p.stem != "__init__")
  relative = [p.relative_to(folder()).with_suffix("").as_posix() for p in paths]
  return sorted(relative, key=lambda name: ("/" in name, name))


def describe() -> str:
  """Lists the config files: name and first line of the docstring.

  The files are parsed and not executed, which takes milliseconds.
  """
  width = max(map(len, names()))
  lines = []
  for name in names():
    tree = ast.parse((folder() / f"{name}.py").read_text(encoding="utf-8"))
    first, *_ = (ast.get_docstring(tree) or "").splitlines() or [""]
    lines.append(f"{name:{width}}  {first}")
  return "\n".join(lines)


def find(flag: str, value: str) -> str:
  """Finds a config file, and makes the package that it imports importable.

  Args:
    flag: 'config' or 'study', for messages. Studies may be given without
      `studies/`.
    value: A path, or the name of one of seqsum's config files, with or without
      'configs/' and '.py'.

  Returns:
    The path of an existing file.

  Raises:
    InputError: There is no such file, or --config is the name of a study.
  """
  path = _find(flag, value)
  name = value.removeprefix("configs/")
  if flag == "config" and name in names() and name.startswith("studies/"):
    study = name.removeprefix("studies/")
    raise InputError(
      f"--config={value}: a study of several runs; use python -m seqsum.study "
      f"--study={study}, or --config={path} for its base config alone"
    )
  _make_importable(path)
  return str(path)


def missing(flag: str, example: str) -> InputError:
  """The error for a missing --config or --study."""
  known = [name for name in names() if "/" not in name]
  if flag == "study":
    start = "studies/"
    known = [x.removeprefix(start) for x in names() if x.startswith(start)]
  return InputError(
    f"--{flag} is missing: try --{flag}={example}, choose from "
    f"{', '.join(known)}, or give the path of a file; {HINT}"
  )


def _find(flag: str, value: str) -> pathlib.Path:
  path = pathlib.Path(value).expanduser()
  name = value.removeprefix("configs/").removesuffix(".py")
  shipped = [name, f"studies/{name}"] if flag == "study" else [name]
  known = names()
  found = [folder() / f"{x}.py" for x in shipped if x in known]
  if found and path.suffix != ".py":
    return found[0]
  if path.is_file():
    return path
  if found and value.startswith("configs/"):
    return found[0]  # as the docs write it, from a folder without configs/
  near = difflib.get_close_matches(name, known, n=1)
  hint = f"did you mean {near[0]!r}? " if near else ""
  raise InputError(f"--{flag}={value}: there is no such file: {hint}{HINT}")


def _make_importable(path: pathlib.Path) -> None:
  """Lets a config file import other config files from any working directory.

  A file in a package (a folder with `__init__.py`) imports from that package,
  not from one of the same name that is installed or in the working directory.
  Any other file imports `configs` from `sys.path`, or else seqsum's.
  """
  package = None
  for parent in path.resolve().parents:
    if not (parent / "__init__.py").is_file():
      break
    package = parent
    if parent == folder().resolve():
      break  # the wheel has it inside the package seqsum
  if package is not None:
    _provide(package.name, package)
  spec = importlib.util.find_spec("configs")
  if spec is None or spec.origin is None:  # a folder without __init__.py
    _provide("configs", folder())


def _provide(name: str, package: pathlib.Path) -> None:
  """Imports a package from its folder, unless its name is imported already."""
  if name in sys.modules:
    return
  spec = importlib.util.spec_from_file_location(
    name, package / "__init__.py", submodule_search_locations=[str(package)]
  )
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  spec.loader.exec_module(module)
