"""`seqsum` and `python -m seqsum`: the same as `python -m seqsum.main`."""

import runpy


def main() -> None:
  # `seqsum.main` must run as __main__: it restarts Python before slow imports.
  runpy.run_module("seqsum.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  main()
