"""Models on the Hugging Face Hub: repositories that `seqsum.push` writes.

Only files of `READ` are downloaded, into the cache of huggingface_hub, and
reading them runs no code. The token is that of huggingface_hub (`hf auth
login`, or HF_TOKEN); it is neither printed nor written.
"""

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from seqsum.runtime.errors import InputError, one_line

INSTALL = "needs huggingface_hub and safetensors: pip install -e '.[hub]'"
LOGIN = "run `hf auth login` or set HF_TOKEN, with a token that may"
READ = ("config.json", "summary.json", "weights.json", "model.safetensors")
TIMEOUT = 10.0  # seconds
# A user or organization and a name, as the Hub allows them; then a branch, a
# tag or a commit.
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
REPOSITORY = re.compile(rf"{NAME}/{NAME}")
URL = re.compile(rf"hf://({NAME}/{NAME})(?:@([A-Za-z0-9_][A-Za-z0-9._/-]*))?")


def is_url(path: Any) -> bool:
  """Whether a path is hf://..."""
  return isinstance(path, str) and path.startswith("hf://")


def check_installed(flag: str) -> None:
  """Raises `InputError` if the extra `hub` is not installed."""
  for name in ("huggingface_hub", "safetensors"):
    if not importlib.util.find_spec(name):
      raise InputError(f"{flag}: {INSTALL}")


def check_repository(name: str) -> None:
  """Raises `InputError` unless a name is user/name."""
  if not REPOSITORY.fullmatch(name) or "--" in name or ".." in name:
    raise InputError(
      f"{name!r} is not the name of a repository: write USER/NAME, of letters, "
      "digits, '-', '_' and '.'"
    )


def download(url: str) -> tuple[epath.Path, str]:
  """Downloads a model, unless the cache has it.

  Args:
    url: hf://USER/NAME or hf://USER/NAME@REVISION, a branch, tag or commit.
      Default: main.

  Returns:
    The folder, in the cache of huggingface_hub; the repository's name. If the
    Hub cannot be reached, the revision that was downloaded last.

  Raises:
    InputError: The url is malformed, the extra `hub` is not installed, or the
      repository or one of its files cannot be read.
  """
  match = URL.fullmatch(url)
  if not match:
    raise InputError(
      f"{url}: not an address on the hub; write hf://USER/NAME or "
      "hf://USER/NAME@REVISION"
    )
  repository, revision = match[1], match[2] or "main"
  check_repository(repository)
  check_installed(url)
  import huggingface_hub as hf

  with _errors(url, "read it"):
    offline = None
    try:
      info = hf.HfApi().model_info(
        repository, revision=revision, timeout=TIMEOUT
      )
    except Exception as error:
      if not _is_outage(error):
        raise
      offline = error
    if offline is None:
      found = {file.rfilename for file in info.siblings or ()}
      if missing := [name for name in READ if name not in found]:
        raise InputError(
          f"{url}: the repository has no {' and no '.join(missing)}; it was "
          "not written by seqsum.push"
        )
    at = revision
    for name in READ:
      try:
        path = hf.hf_hub_download(
          repository, name, revision=at, local_files_only=offline is not None
        )
      except hf.errors.LocalEntryNotFoundError as error:
        reason = one_line(offline or error)
        raise InputError(
          f"{url}: the hub cannot be reached, and the cache has no copy "
          f"({reason})"
        ) from error
      at = os.path.basename(os.path.dirname(path))  # the commit
  return epath.Path(path).parent, repository.partition("/")[2]


def upload(
  repository: str, files: Mapping[str, bytes], private: bool
) -> tuple[str, str]:
  """Makes a repository if there is none, and commits files to it.

  Args:
    repository: USER/NAME.
    files: Content by name.
    private: Whether the repository must be private.

  Returns:
    The address of the repository's page; the commit.

  Raises:
    InputError: There is no token, or the Hub refuses.
  """
  import huggingface_hub as hf

  if hf.get_token() is None:
    raise InputError(f"{repository}: no token; {LOGIN} write")
  api = hf.HfApi()
  with _errors(repository, "write to it"):
    page = api.create_repo(repository, private=private or None, exist_ok=True)
    if private and not api.model_info(repository, timeout=TIMEOUT).private:
      raise InputError(
        f"{repository} exists and is public: nothing was uploaded; choose "
        "another name, or make it private in its settings"
      )
    commit = api.create_commit(
      repository,
      [
        hf.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in files.items()
      ],
      commit_message="Upload a model with seqsum.push",
    )
  return str(page), commit.oid


@contextlib.contextmanager
def _errors(what: str, action: str) -> Iterator[None]:
  """A context that turns errors of huggingface_hub into one line.

  Args:
    what: The url or repository, a prefix of the line.
    action: What a token must allow, "read it".
  """
  import huggingface_hub as hf
  from huggingface_hub.utils import logging

  before = logging.get_verbosity()
  logging.set_verbosity_error()  # it also logs what it raises
  shown = not hf.utils.are_progress_bars_disabled()
  hf.utils.disable_progress_bars()
  try:
    yield
  except (InputError, MemoryError):
    raise
  except Exception as error:  # of the client, its transport, or the disk
    raise InputError(f"{what}: {_explain(error, action)}") from None
  finally:
    logging.set_verbosity(before)
    if shown:
      hf.utils.enable_progress_bars()


def _explain(error: Exception, action: str) -> str:
  """The reason and the remedy, without the token."""
  import huggingface_hub as hf

  status = getattr(getattr(error, "response", None), "status_code", None)
  if isinstance(error, hf.errors.RevisionNotFoundError):
    return "the repository has no such revision"
  if isinstance(error, hf.errors.EntryNotFoundError):
    return "a file is missing in the repository"
  if status in (401, 403):
    return f"the hub refuses access ({status}): {LOGIN} {action}"
  if isinstance(error, hf.errors.RepositoryNotFoundError):
    return f"no such repository, or it is private: {LOGIN} {action}"
  reason = one_line(error)
  if token := hf.get_token():
    reason = reason.replace(token, "***")
  if _is_outage(error):
    return f"the hub cannot be reached ({reason})"
  return reason


def _is_outage(error: Exception) -> bool:
  """Whether the Hub does not answer, or is switched off by HF_HUB_OFFLINE."""
  status = getattr(getattr(error, "response", None), "status_code", None)
  if status is not None:
    return status >= 500 or status == 429
  # OfflineModeIsEnabled is a ConnectionError; httpx and httpx2, which replaced
  # it in huggingface_hub, have a class of one name.
  names = {kind.__name__ for kind in type(error).__mro__}
  return bool(names & {"ConnectionError", "TransportError", "TimeoutError"})
