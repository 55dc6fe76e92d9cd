"""Runs many cases in forked processes that a case may kill: crashes, hangs and greed are findings.

Linux only: it relies on fork, on resource limits and on interval timers.
"""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import resource
import signal
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from .cases import Case

Make = Callable[[int], Case]
Run = Callable[[Case], str]

_DEADLY: dict[int, str] = {
    signal.SIGPROF: "hang: too much processor time",
    signal.SIGALRM: "hang: too much time",
}
_COLLECT_EVERY = 64  # cases; an engine and its networks are a cycle with much memory behind it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a case may take; more is a finding."""

    cpu_s: float = 20.0
    """Processor time of a case."""

    wall_s: float = 300.0
    """Time of a case, on a machine that may be busy with other things."""

    address_bytes: int = 512 << 20
    """Address space beyond what a process has after its warm-up; more is a `MemoryError`."""

    growth_bytes: int = 48 << 20
    """By how much a case may raise the resident memory of its process, at its peak."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A case that broke a rule."""

    index: int
    target: str
    subject: str
    how: str
    what: str
    """An error with its traceback, or how the process died."""


@dataclasses.dataclass(slots=True)
class Tally:
    """What came of all cases."""

    outcomes: defaultdict[tuple[str, bool], Counter[str]] = dataclasses.field(
        default_factory=lambda: defaultdict(Counter)
    )
    """How often each word was the outcome, by target and whether checksums had been mended."""

    findings: list[Finding] = dataclasses.field(default_factory=list)
    growth_bytes: int = 0
    """By how much a process's highest resident memory grew from warm-up to end, the most of all."""

    done: int = 0


def hunt(
    indices: Sequence[int],
    make: Make,
    run: Run,
    *,
    workers: int = 1,
    bounds: Bounds | None = None,
    save: Path | None = None,
    warm_up: Callable[[], object] | None = None,
    progress: Callable[[Tally], None] | None = None,
) -> Tally:
    """Runs cases and tells what came of them.

    Args:
        indices: Numbers of the cases.
        make: Gives the case of a number, the same one each time.
        run: Gives the word for a lawful outcome; what it raises is a finding.
        workers: Processes at a time.
        bounds: What a case may take.
        save: Folder for the inputs of findings; made if there is one.
        warm_up: Called in each process before its limits are set, to load libraries.
        progress: Told after every case.
    """
    bounds = bounds or Bounds()
    tally = Tally()
    hands = [
        _Hand(indices[k::workers], make, run, bounds, warm_up)
        for k in range(min(workers, len(indices)))
    ]
    while hands:
        ready = wait([hand.pipe for hand in hands])
        for hand in [hand for hand in hands if hand.pipe in ready]:
            done = tally.done
            if not hand.take(tally):
                hands.remove(hand)
            if progress is not None and tally.done > done:
                progress(tally)
    if save is not None:
        for finding in tally.findings:
            save.mkdir(parents=True, exist_ok=True)
            path = save / f"{finding.target}-{finding.index}.bin"
            path.write_bytes(make(finding.index).data)
    return tally


class _Hand:
    """One worker's share of the cases, taken up by another process where one has died."""

    def __init__(
        self,
        share: Sequence[int],
        make: Make,
        run: Run,
        bounds: Bounds,
        warm_up: Callable[[], object] | None,
    ) -> None:
        self._share = share
        self._next = 0
        self._work = make, run, bounds, warm_up
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, end = context.Pipe(duplex=False)
        rest = self._share[self._next :]
        self._process: BaseProcess = context.Process(
            target=_work, args=(end, rest, *self._work), daemon=True
        )
        self._process.start()
        end.close()

    def take(self, tally: Tally) -> bool:
        """Takes what a process has to tell; False when all is done."""
        try:
            case, word, what, growth = self.pipe.recv()
        except EOFError:
            return self._bury(tally)
        index = self._share[self._next]
        self._next += 1
        tally.done += 1
        tally.growth_bytes = max(tally.growth_bytes, growth)
        tally.outcomes[case.target, case.mended][word] += 1
        if what:
            tally.findings.append(Finding(index, case.target, case.subject, case.how, what))
        return True

    def _bury(self, tally: Tally) -> bool:
        self._process.join()
        self.pipe.close()
        code = self._process.exitcode or 0
        if self._next == len(self._share):
            return False
        index = self._share[self._next]
        self._next += 1
        tally.done += 1
        case = self._work[0](index)
        what = _DEADLY.get(-code) or f"crash: exit code {code}"
        tally.outcomes[case.target, case.mended]["FINDING"] += 1
        tally.findings.append(Finding(index, case.target, case.subject, case.how, what))
        if self._next == len(self._share):
            return False
        self._start()
        return True


def _resident_bytes(field: str) -> int:
    """Resident memory of this process: `VmRSS` now, `VmHWM` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:", 1)[1].split(maxsplit=1)[0]) * 1024


def _forget_peak() -> None:
    """Makes the peak start from what is resident now, not from what a parent once had."""
    Path("/proc/self/clear_refs").write_text("5")


def _work(
    pipe: Connection,
    indices: Sequence[int],
    make: Make,
    run: Run,
    bounds: Bounds,
    warm_up: Callable[[], object] | None,
) -> None:
    """Runs a share of the cases in a process of its own."""
    # Libraries write their complaints about hostile input past Python.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    if warm_up is not None:
        warm_up()
    gc.collect()
    for number in signal.SIGPROF, signal.SIGALRM:
        signal.signal(number, signal.SIG_DFL)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + bounds.address_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    first = _resident_bytes("VmRSS")
    for n, index in enumerate(indices):
        # Left at their default action, these signals also end loops of native code.
        signal.setitimer(signal.ITIMER_PROF, bounds.cpu_s)
        signal.setitimer(signal.ITIMER_REAL, bounds.wall_s)
        case = make(index)
        _forget_peak()
        before = _resident_bytes("VmRSS")
        word, what = examine(case, run)
        peak = _resident_bytes("VmHWM")
        if not what and peak - before > bounds.growth_bytes:
            word, what = "FINDING", f"memory: {(peak - before) >> 20} MiB more than before"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send((case._replace(data=b""), word, what, peak - first))
        if n % _COLLECT_EVERY == 0:
            gc.collect()
    pipe.close()


def examine(case: Case, run: Run) -> tuple[str, str]:
    """Runs a case here; gives the word for its outcome, and what was found, empty if nothing."""
    try:
        return run(case), ""
    except Exception as error:
        return "FINDING", "".join(traceback.format_exception(error))
