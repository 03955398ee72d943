"""`seqsum` and `python -m seqsum`: the same as `python -m seqsum.main`."""

import runpy


def main() -> None:
  # As the main module: it restarts Python before it imports what takes long.
  runpy.run_module("seqsum.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  main()
