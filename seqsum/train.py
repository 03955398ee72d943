"""The loop: reads top to bottom what a run does."""

import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from seqsum.runs import results, run_files, trackers
from seqsum.runs.divergence import Watch, divergence_message
from seqsum.runs.overview import overview
from seqsum.runs.progress import Progress
from seqsum.runs.session import Session, open_session, restore_best
from seqsum.runs.writer import (
  MetricsWriter,
  best_step,
  is_validated,
  warn_of_missing,
)
from seqsum.runtime import files, malloc, processes
from seqsum.runtime.errors import Diverged
from seqsum.runtime.signals import StopRequest
from seqsum.training import evaluate
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_step
from seqsum.training.state import TEST, TRAIN, VALIDATION
from seqsum.training.step import train_steps


def train_and_evaluate(
  config: ConfigDict,
  workdir: epath.PathLike,
  stop: StopRequest,
  *,
  report: bool = True,
  show: Callable[[int, int], Progress] = Progress,
  tracker: str | None = None,
) -> dict[str, Any] | None:
  """Trains, goes on where it was, tests the best, leaves a report.

  Args:
    config: As `configs/sum.py` has it.
    workdir: The run's folder, made if it is not there.
    stop: True once somebody wants the run to end early.
    report: Whether to leave `report/`.
    show: (steps, epochs) -> what a person sees, as `Progress` is.
    tracker: Who else is told, one of `trackers.TRACKERS`.

  Returns:
    What stands in summary.json, or None if the run was asked to stop; then the
    same call goes on where this one left off.

  Raises:
    InputError: The config, the data or the folder cannot be used.
    Diverged: The loss is not finite; the last good checkpoint is kept, and
      diverged.json says when. The same call then raises the same again.
    NotSaved: The last state, or lines of metrics.jsonl, could not be written.
      The same call goes on from what is there.
  """
  began = time.perf_counter()
  with contextlib.ExitStack() as stack:
    session = stack.enter_context(open_session(config, workdir))
    if summary := run_files.read_json(
      session.workdir / "summary.json", run_files.SUMMARY
    ):
      print(
        f"{workdir} is finished; --eval_only tests its best checkpoint again"
      )
      return summary
    if end := run_files.read_json(
      session.workdir / "diverged.json", run_files.DIVERGED
    ):
      raise Diverged(divergence_message(end))
    return _run(session, stop, stack, began, report, show, tracker)


def _run(
  session: Session,
  stop: StopRequest,
  stack: contextlib.ExitStack,
  began: float,
  report: bool,
  show: Callable[[int, int], Progress],
  tracker: str | None,
) -> dict[str, Any] | None:
  config, experiment, schedule = (
    session.config,
    session.experiment,
    session.schedule,
  )
  advance = compile_step(
    train_steps, session.mesh, experiment=experiment, donate=True
  )
  validation = session.evaluator(VALIDATION)
  feed = session.feed(TRAIN)

  checkpoints = stack.enter_context(
    session.checkpoints(
      best=lambda: best_step(writer.history, config.checkpoint.best)
    )
  )
  progress = stack.enter_context(show(schedule.total, schedule.epochs))
  progress.say(overview(session, bool(checkpoints.steps)))
  if found := checkpoints.resume(session.abstract_state()):
    progress.say(f"goes on from step {found[0]:,} of {schedule.total:,}")
    session.warn_of_changes()
  progress.say("compiling ...")
  mark = time.perf_counter()
  if found is None:
    found = 0, (session.init(config.seed), session.put(Totals.zero()))
  step, (state, totals) = found
  writer = stack.enter_context(
    MetricsWriter(session.workdir, step, trackers.build(tracker, session))
  )
  warn_of_missing(
    session.workdir / "metrics.jsonl", writer.history, schedule, step
  )
  carried = writer.history[-1]["seconds"] if writer.history else 0.0
  seconds = lambda: carried + time.perf_counter() - began
  watch = Watch(session, checkpoints, seconds)
  progress.start(step)

  def write(split: str, metrics: dict[str, Any], rate: float) -> None:
    writer.write(
      {
        "step": step,
        "epoch": schedule.epoch(step),
        "split": split,
        **metrics,
        "sequences_per_second": rate,
        "seconds": seconds(),
      }
    )

  def save() -> None:
    watch(step, state, totals)
    checkpoints.wait()  # what a save that failed had taken of the disk is free
    if writer.flush():  # lines that only a newer checkpoint knew of were lost
      checkpoints.save(step, (state, totals))

  def draw(params, evaluator, reading, summary) -> None:
    if not report:
      return
    malloc.trim()
    initial = session.init(config.seed).params
    if processes.is_lead():
      try:
        pngs = results.draw(
          session, initial, params, evaluator, reading, summary
        )
      except Exception as error:  # a report is not worth a run's summary.json
        logging.warning(
          "%s is not written: %s: %s",
          *(session.workdir / "report", type(error).__name__, error),
        )
        return
      writer.pictures(pngs, step)

  # Compiled ahead, so that the compiler's memory is free when the first step
  # asks for its own.
  several = schedule.steps_per_call > 1
  advance.lower(
    state, totals, 1 if several else None, config.seed, *feed(step)
  ).compile()
  malloc.trim()
  progress.say(f"compiled in {time.perf_counter() - mark:.1f} s; training ...")

  mark = time.perf_counter(), step  # where the rate is measured from
  while True:
    if schedule.is_epoch_end(step) and not is_validated(writer.history, step):
      start = time.perf_counter()
      if (reading := validation(state.evaluated, stop)) is not None:
        rate = len(reading.lengths) / (time.perf_counter() - start)
        write(
          "validation", evaluate.measure(reading, experiment.per_step), rate
        )
        progress.validation(writer.history[-1])
        malloc.trim()
      mark = time.perf_counter(), step
    if stop or step == schedule.total:
      break
    count = min(schedule.next_event(step) - step, schedule.steps_per_call)
    before = totals
    state, totals = advance(
      state, totals, count if several else None, config.seed, *feed(step)
    )
    jax.block_until_ready(before)  # the device is one call ahead, not more
    step += count
    progress.advance(count)
    if schedule.is_log(step):
      watch(step, state, totals)
      checkpoints.poll()
      seen = (step - mark[1]) * config.batch_size
      rate = seen / (time.perf_counter() - mark[0])
      write("train", jax.device_get(totals).means(), rate)
      progress.training(writer.history[-1])
      totals = session.put(totals.start_again())
      malloc.trim()
      mark = time.perf_counter(), step
    if schedule.is_checkpoint(step):
      save()

  checkpoints.wait()  # as in `save`
  writer.finish()  # else `save` would leave out the last of all
  save()
  checkpoints.finish()
  if stop:
    if stop.signal == signal.SIGINT:  # a scheduler leaves no time for pictures
      draw(state.evaluated, validation, validation(state.evaluated), {})
    return None

  best, state = restore_best(session, checkpoints, writer.history)
  test = session.evaluator(TEST)
  start = time.perf_counter()
  reading = test(state.evaluated)
  rate = len(reading.lengths) / (time.perf_counter() - start)
  metrics = evaluate.measure(reading, experiment.per_step)
  write("test", metrics | evaluate.break_down(reading), rate)
  writer.finish()  # summary.json says that all lines are there
  summary = results.summarize(
    session, best, state.evaluated, reading, writer.history
  )
  draw(state.evaluated, test, reading, summary)
  if processes.is_lead():
    files.write_json(session.workdir / "summary.json", summary)
  writer.model(session.workdir / "checkpoints" / str(best), summary)
  return summary


def test_again(config: ConfigDict, workdir: epath.PathLike) -> dict[str, Any]:
  """Reads the test sequences with a run's best checkpoint; writes nothing.

  Returns:
    The metrics, with the step of the checkpoint.
  """
  with (
    open_session(config, workdir, is_new=False) as session,
    session.checkpoints() as checkpoints,
  ):
    session.warn_of_changes()
    best, state = restore_best(session, checkpoints)
  reading = session.evaluator(TEST)(state.evaluated)
  metrics = evaluate.measure(reading, session.experiment.per_step)
  return {"step": best, **metrics, **evaluate.break_down(reading)}
