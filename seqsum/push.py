r"""Upload a finished run to the Hugging Face Hub.

    pip install 'seqsum[hub]' && hf auth login
    python -m seqsum.push runs/sum USER/NAME

uploads the parameters (model.safetensors), config.json, summary.json, pictures
of the report, and a model card with the test metrics. (In a clone: pip install
-e '.[hub]'.) Then

    seqsum.load("hf://USER/NAME")

loads the model anywhere, and `--workdir=hf://USER/NAME` predicts with it.
"""

from absl import flags

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
PRIVATE = flags.DEFINE_bool(
  "private", False, "Make the repository private; refuse a public one."
)
LICENSE = flags.DEFINE_string(
  "license",
  None,
  "License of the model, as the Hub names it, e.g. apache-2.0, other; by "
  "default the card states none.",
)
DRY_RUN = flags.DEFINE_string(
  "dry_run", None, "Write the files to this folder instead of uploading them."
)


def main(*arguments: str) -> int:
  """Uploads a run; returns the exit code."""
  if len(arguments) != 2:
    raise InputError(
      "name the folder of a run and a repository, e.g. runs/sum USER/NAME"
    )
  workdir, repository = arguments
  from seqsum.inference import hub, model_card  # takes seconds

  hub.check_repository(repository)
  hub.check_installed("seqsum.push")
  outputs = model_card.pack(workdir, repository, LICENSE.value)
  for name, content in outputs.items():
    print(f"{name}  {len(content):,} bytes")
  if DRY_RUN.value is not None:
    out = files.parse_path(DRY_RUN.value, "--dry_run")
    try:
      out.mkdir(parents=True, exist_ok=True)
      for name, content in outputs.items():
        files.write_atomically(out / name, content)
    except OSError as error:
      raise InputError(
        f"{out}: cannot be written ({error.strerror})"
      ) from error
    print(f"see {out / 'README.md'}; nothing was uploaded")
    return 0
  page, commit = hub.upload(repository, outputs, PRIVATE.value)
  print(f"see {page}, commit {commit}")
  return 0


if __name__ == "__main__":
  cli.run(main, arguments=2)
