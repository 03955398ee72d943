"""The training loop. Read it top to bottom to see what a run does."""

import contextlib
import signal
import time
from functools import partial
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from seqsum.runs import results, trackers
from seqsum.runs.console import Progress, overview
from seqsum.runs.divergence import check_finite, find_end, start_check
from seqsum.runs.history import best_step, is_validated, warn_of_missing
from seqsum.runs.restore import restore_best, restore_newest
from seqsum.runs.session import open_session
from seqsum.runs.writer import Lines, MetricsWriter
from seqsum.runtime import files, malloc, processes
from seqsum.runtime.deferred import AHEAD, Deferred
from seqsum.runtime.progress import ProgressBar
from seqsum.runtime.signals import StopRequest
from seqsum.training import parallel, scores
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_step, copy_arrays
from seqsum.training.state import TEST, TRAIN, VALIDATION, TrainState
from seqsum.training.step import train_steps


def train_and_evaluate(
  config: ConfigDict,
  workdir: epath.PathLike,
  stop: StopRequest,
  *,
  report: bool = True,
  tracker: str | None = None,
  bar: ProgressBar | None = None,
) -> dict[str, Any] | None:
  """Trains or resumes a run, tests its best checkpoint and writes a report.

  Args:
    config: A complete config, as in `configs/sum.py`.
    workdir: The run's folder; made if it does not exist.
    stop: Asks the run to save a checkpoint and return early.
    report: Whether to write `report/`.
    tracker: A key of `trackers.TRACKERS`, which also gets the metrics.
    bar: A progress bar over the sequences of several runs, which this run
      advances; by default it prints its own progress.

  Returns:
    The content of summary.json; None if stopped: the same call resumes it.

  Raises:
    InputError: The config, the data or the folder cannot be used.
    Diverged: The loss is inf or nan; the last good checkpoint is kept, and
      diverged.json written. The same call raises the same error again.
    NotSaved: The last state, or lines of metrics.jsonl, could not be written.
      The same call resumes from what was written.
  """
  start = time.perf_counter()
  with contextlib.ExitStack() as stack:
    session = stack.enter_context(open_session(config, workdir))
    folder, experiment = session.workdir, session.experiment
    schedule = session.schedule
    if summary := find_end(folder):
      print(f"{folder} is finished; test its best checkpoint with --eval_only")
      return summary

    # Restore the newest checkpoint, or initialize.
    run_steps = compile_step(
      train_steps, session.mesh, experiment=experiment, donate=True
    )
    validate, test = session.evaluator(VALIDATION), session.evaluator(TEST)
    batch_source = session.feed(TRAIN)  # step -> (images, labels)
    checkpoints = stack.enter_context(session.checkpoints())
    progress = stack.enter_context(Progress(schedule, bar))
    progress.print(overview(session, bool(checkpoints.steps)))
    restored = restore_newest(checkpoints, session.abstract_state())
    if restored is not None:
      progress.print(
        f"resuming from step {restored[0]:,} of {schedule.total:,}"
      )
      session.warn_of_changes()

    # Compile before the first step, so that the compiler's memory is free again
    # when the step allocates its own.
    progress.print("compiling ...")
    in_loop = schedule.steps_per_call > 1  # on an accelerator
    count = 1 if in_loop else None
    data = batch_source(restored[0] if restored else 0)
    state, totals = session.abstract_state()
    programs = [run_steps.lower(state, totals, count, config.seed, *data)]
    if restored is None:
      programs.append(session.init.lower(config.seed))
    if in_loop:
      programs += [x.lower(state.evaluated) for x in (validate, test)]
    seconds = parallel.compile_all(programs)
    malloc.trim()
    if restored is None:
      restored = 0, (session.init(config.seed), session.put(Totals.zero()))
    step, (state, totals) = restored
    progress.print(f"compiled in {seconds:.1f} s; training ...")
    writer = stack.enter_context(
      MetricsWriter(folder, step, trackers.build_tracker(tracker, session))
    )
    warn_of_missing(folder / "metrics.jsonl", writer.history, schedule, step)
    lines = Lines(writer, schedule, start)

    def log(step: int, finite: Any, totals: Totals) -> None:
      check_finite(session, checkpoints, step, finite, totals, lines.seconds())
      checkpoints.poll()
      progress.training(lines.train(step, jax.device_get(totals).means()))
      malloc.trim()
      lines.start_clock(step)

    def validated(step: int, wait: Any, start: float) -> None:
      metrics = scores.measure(predictions := wait(), experiment.per_step)
      rate = len(predictions.lengths) / lines.since(start)
      progress.validation(lines.write(step, "validation", metrics, rate))
      malloc.trim()
      lines.start_clock(step)

    def save(step: int, finite: Any, state: TrainState, totals: Totals) -> None:
      check_finite(session, checkpoints, step, finite, totals, lines.seconds())
      checkpoints.wait()  # until a failed save has released its disk space
      if writer.flush():  # never save a checkpoint newer than metrics.jsonl
        best = best_step(writer.history, config.checkpoint.best)
        checkpoints.save(step, (state, totals), best)

    # Train. `later` is what waits for the device.
    progress.start(step)
    later = stack.enter_context(Deferred(in_loop, jax.process_count() == 1))
    lines.start_clock(step)
    while True:
      if schedule.is_epoch_end(step) and not is_validated(writer.history, step):
        validation_start = time.perf_counter()
        if wait := validate.start(state.evaluated, stop.agreed):
          later.add(partial(validated, step, wait, validation_start))
      if stop.agreed() or step == schedule.total:
        break
      num_steps = min(schedule.next_event(step) - step, schedule.steps_per_call)
      previous_totals = totals
      count = num_steps if in_loop else None
      data = batch_source(step)
      state, totals = run_steps(state, totals, count, config.seed, *data)
      jax.block_until_ready(previous_totals)  # the device is one call ahead
      later.wait(AHEAD)
      step += num_steps
      progress.advance(num_steps)
      finite = start_check(session, state) if schedule.is_event(step) else True
      if schedule.is_log(step):
        later.add(partial(log, step, finite, totals))
        totals = session.put(totals.reset())
      if schedule.is_checkpoint(step):
        kept = copy_arrays(state) if in_loop else state  # donated by a step
        later.add(partial(save, step, finite, kept, totals))

    later.wait()
    checkpoints.wait()  # as in `save`
    writer.finish()  # raises where `save` would skip the last checkpoint
    save(step, start_check(session, state), state, totals)
    checkpoints.finish()
    if stop.agreed():
      if report and stop.signal == signal.SIGINT:  # a scheduler allows no time
        predictions = validate(state.evaluated)
        figures = results.write_report(
          session, state.evaluated, validate, predictions, {}
        )
        writer.images(figures, step)
      return None

    # Test the best checkpoint.
    best, state = restore_best(session, checkpoints, writer.history)
    test_start = time.perf_counter()
    predictions = test(state.evaluated)
    rate = len(predictions.lengths) / lines.since(test_start)
    metrics = scores.measure(predictions, experiment.per_step)
    lines.write(step, "test", metrics | scores.break_down(predictions), rate)
    writer.finish()  # summary.json promises a complete metrics.jsonl
    summary = results.summarize(
      session, best, state.evaluated, predictions, writer.history
    )
    if report:
      figures = results.write_report(
        session, state.evaluated, test, predictions, summary
      )
      writer.images(figures, step)
    if processes.is_lead():
      files.write_json(folder / "summary.json", summary)
    writer.model(folder / "checkpoints" / str(best), summary)
    return summary
