# SPDX-License-Identifier: Apache-2.0
"""What a user who means no good can do to another one by loops, each of which any user may run.

    SPILLFS=build/spillfs python3 tests/security/loops.py --seconds 60

measures a steady victim (loads/victim.py) on a quiet mount, during each loop, and after it; kills the
worker under the loop; kills the attackers in the middle; and looks for every file that the victim was
told it has, also after another mount. The same is measured on a bare ext4, as far as it can do the
same: what is as slow there is not this file system's doing. Exits 1 when the victim met an error,
lost something, or its p99 was ten times the quiet one. Needs root."""
import argparse
import collections
import contextlib
import dataclasses
import errno
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from security.loads import attack, files, handles, names
from security.loads.latency import Latencies
from security.loads.victim import Operation, Victim
from support import disks
from support import mounted as m

ATTACKER, VICTIM = 4001, 4002
MIB = 1 << 20
DISK_MIB, QUOTA = 4096, 256 * MIB
RATE = 150                # of the victim's operations, a second
WORST_RATIO = 10
SHOWN = 15                # sentences about a loop
UMOUNT, ANSWER = 60, 30   # seconds that an unmount and an operation may take

LOOPS = {
    "fill": (files.Fill, files.Beyond, files.Parked),
    "rename": (names.Deep, names.Renames),
    "truncate": (files.Truncate, files.Fragments, files.Sparse),
    "xattr": (names.Xattrs, names.Links),
    "open": (handles.Handles, handles.Unsealed),
    "collide": (names.Collide, names.Listings),
    "map": (handles.Mapped, handles.Direct, handles.Uring),
    "share": (handles.OneFile, handles.Programs),
    "kill": (handles.Killed, files.Unlinked),
    "sync": (files.TinySyncs, files.InPlace, files.Copies),
    "look": (handles.Controls, handles.ManyObjects, names.Locks, files.Bursts),
}
PARTS = {part.__name__: (part,) for parts in LOOPS.values() for part in parts}


@dataclasses.dataclass
class Spans:
    """How long the victim is alone, attacked while the worker dies in the middle, attacked, and
    alone again. The attack comes last, so that what it has begun is under way at the unmount."""
    quiet: float
    kill: float
    attack: float
    after: float
    bare: float  # 0: not on a bare file system


@dataclasses.dataclass
class Report:
    loop: str
    spans: dict = dataclasses.field(default_factory=dict)  # name -> Latencies
    bare: dict = dataclasses.field(default_factory=dict)
    errors: list = dataclasses.field(default_factory=list)  # of the victim
    lost: list = dataclasses.field(default_factory=list)
    problems: list = dataclasses.field(default_factory=list)  # anything else
    resident_mib: int = 0  # of the worker, at the end of the attack
    calls: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def longest(self):
        found = [span.longest() for span in self.spans.values() if span.longest()]
        return max(found, key=lambda o: o.seconds, default=Operation("nothing", 0, 0))

    def attack_p99(self):
        return self.spans["attack"].percentile(0.99)

    def wrong(self):
        """All but how long it took, as sentences."""
        wrong = [f"the victim's {error}" for error in self.errors]
        wrong += [f"lost: {name}" for name in self.lost] + self.problems
        slow = self.longest()
        if slow.seconds > ANSWER * m.PATIENCE:
            wrong.append(f"the victim's {slow.kind} took {slow.seconds:.1f} s")
        return wrong


class Clock:
    """Notes when spans of time begin and end."""

    def __init__(self, victim):
        self.victim, self.marks = victim, []

    @contextlib.contextmanager
    def span(self, name):
        begin = time.monotonic()
        yield
        self.marks.append((name, begin, time.monotonic()))

    def latencies(self, operations):
        return {name: Latencies(operations, begin, end, self.victim.interval)
                for name, begin, end in self.marks}


def attacked(root, attackers, spans, report, kill=lambda: None, look=lambda: None):
    """The victim's latencies by span, and what must be there. Tells the report what went wrong.
    `kill` is called in the middle, `look` at the end of the attack."""
    os.chmod(root, 0o1777)
    victim = Victim(root, VICTIM, RATE).start()
    clock = Clock(victim)
    try:
        victim.wait_until_it_works(ANSWER * m.PATIENCE)
        with clock.span("quiet"):
            time.sleep(spans.quiet)
        attackers.start()
        with clock.span("kill"):
            time.sleep(spans.kill / 2)
            kill()
            time.sleep(spans.kill / 2)
        with clock.span("attack"):
            time.sleep(spans.attack)
        look()
    finally:
        if not attackers.stop(ANSWER * m.PATIENCE):
            report.problems.append("killed attackers do not end")
        with clock.span("after"):
            time.sleep(spans.after)
        if not victim.stop(ANSWER * m.PATIENCE):
            report.problems.append("the victim hangs")
    operations, known = victim.outcome()
    report.errors += [operation.error for operation in operations if operation.error]
    report.calls = attackers.tally.all()
    return clock.latencies(operations), known


def judge_attackers(report):
    """A loop that did nothing proves nothing."""
    told = attack.describe(report.calls)
    if report.calls[0] < 20:
        report.problems.append(f"the loop did nothing: {told}")
    if report.calls[attack.BROKEN]:
        report.problems.append("the loop itself is broken")
    report.problems += [f"the attacker was told {errno.errorcode[code]}" for code in attack.ALARMING
                        if report.calls[code]]


class Attacked:
    """A store on a disk of its own, whose mount is attacked, ended, mounted and looked at."""

    def __init__(self, disk, report, options):
        root = disk / "spillfs"
        root.mkdir()
        self.store = m.Mounted(f"user_quota={QUOTA}{options}", root)
        self.report = report

    def run(self, attacks, spans):
        self.store.mount()
        kill = self.kill_worker if self.store.goes_on() else lambda: None
        attackers = attack.Attackers(attacks, self.store.path, ATTACKER, QUOTA)
        self.report.spans, known = attacked(self.store.path, attackers, spans, self.report, kill,
                                            self.note_memory)
        judge_attackers(self.report)
        if self.store.ended():
            self.problem(f"the mount ended with {self.store.process.returncode}")
        else:
            self.look(known, "")
            self.umount()
        self.store.mount()
        self.look(known, ", mounted again")
        self.umount()
        self.store.check()
        self.store.check_log()

    def problem(self, text):
        self.report.problems.append(text)

    def look(self, known, when):
        self.report.lost += [name + when for name in known.lost(self.store.path / "victim")]

    def umount(self):
        begin = time.monotonic()
        self.store.umount()
        took = time.monotonic() - begin
        assert took < UMOUNT, f"the unmount took {took:.1f} s"

    def note_memory(self):
        with contextlib.suppress(IndexError, OSError):  # there is no worker now
            self.report.resident_mib = self.store.resident_mib()

    def kill_worker(self):
        """The mount itself is not asked anything: it may be slow."""
        worker = self.store.worker()
        os.kill(worker, signal.SIGKILL)

        def another():
            with contextlib.suppress(IndexError, OSError):
                return self.store.worker() != worker
            return self.store.ended()
        m.wait_until(another, ANSWER, "another worker")


def on_spillfs(loop, attacks, spans, options=""):
    report = Report(loop)
    with disks.ext4(DISK_MIB) as disk:
        on = Attacked(disk, report, options)
        try:
            on.run(attacks, spans)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as why:
            on.problem(str(why))
        finally:
            on.store.close()
    return report


def on_bare(attacks, seconds):
    """Only how long it takes. There is no quota that keeps all attackers together within bounds, so
    each knows of a smaller one."""
    attacks = [one for one in attacks if one.on_any_file_system]
    if not attacks or not seconds:
        return {}
    with disks.ext4(DISK_MIB) as disk:
        spans = Spans(quiet=seconds / 2, kill=0, attack=seconds, after=0, bare=0)
        attackers = attack.Attackers(attacks, disk, ATTACKER, QUOTA // 8)
        return attacked(disk, attackers, spans, Report("bare"))[0]


class Table:
    """The reports for people. Each loop is compared with how it usually is when nothing goes on."""

    def __init__(self, reports):
        self.reports = [report for report in reports if report.spans]
        self.quiet = statistics.median([r.spans["quiet"].percentile(0.99) for r in self.reports])
        self.quiet_kinds = Latencies([operation for report in self.reports
                                      for operation in report.spans["quiet"].operations],
                                     0, float("inf"), 1).of_each_kind(0.99)

    def ratio(self, report):
        return report.attack_p99() / self.quiet

    @staticmethod
    def bare_ratio(report):
        if not report.bare:
            return "-"
        quiet, during = (report.bare[name].percentile(0.99) for name in ("quiet", "attack"))
        return f"{during / quiet:.1f}" if quiet else "-"

    def worst_kind(self, report):
        kinds = report.spans["attack"].of_each_kind(0.99)
        ratios = {kind: seconds / self.quiet_kinds[kind] for kind, seconds in kinds.items()
                  if self.quiet_kinds.get(kind)}
        worst = max(ratios, key=ratios.get)
        return f"{worst} {ratios[worst]:.0f}x: {kinds[worst] * 1000:.1f} ms"

    def kinds(self, report):
        """The p99 of each kind of operation, in ms: on the quiet mount and during the attack."""
        during = report.spans["attack"].of_each_kind(0.99)
        return "  " + ", ".join(f"{kind} {1000 * self.quiet_kinds.get(kind, 0):.1f}/{1000 * took:.1f}"
                                for kind, took in during.items())

    def row(self, report):
        cells = [report.loop]
        for name in ("quiet", "attack"):
            span = report.spans[name]
            cells.append("/".join(f"{1000 * span.percentile(p):.2f}" for p in (0.5, 0.99)))
        after, longest = report.spans["after"], report.longest()
        cells += [f"{self.ratio(report):.1f}", self.bare_ratio(report),
                  f"{1000 * after.percentile(0.99):.2f}", f"{longest.kind} {longest.seconds:.2f} s",
                  self.worst_kind(report), str(report.resident_mib), str(len(report.errors)),
                  str(len(report.lost))]
        return cells

    def __str__(self):
        rows = [["loop", "quiet p50/p99 ms", "during p50/p99 ms", "ratio", "bare", "after p99 ms",
                 "longest", "worst kind (p99)", "worker MiB", "errors", "lost"]]
        rows += [self.row(report) for report in self.reports]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                         for row in rows)


def summary(wrong):
    """Each sentence once, the first of them."""
    counted = [f"{text} (×{count})" if count > 1 else text
               for text, count in collections.Counter(wrong).items()]
    return counted[:SHOWN] + ([f"… and {len(counted) - SHOWN} more"] if counted[SHOWN:] else [])


def print_details(report):
    print(f"{report.loop}: {attack.describe(report.calls)}")
    for text in summary(report.wrong()):
        print(f"  {text}")
    sys.stdout.flush()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each loop")
    parser.add_argument("--loops", default=",".join(LOOPS), help=f"of {', '.join(LOOPS)}; or parts "
                        f"of them alone: {', '.join(PARTS)}, or 'parts' for each of these")
    parser.add_argument("--kinds", action="store_true", help="the p99 of each kind of operation, too")
    parser.add_argument("--no-bare", action="store_true", help="not on a bare ext4")
    parser.add_argument("--options", default="", help="more options of the mount")
    arguments = parser.parse_args()
    known = {**LOOPS, **PARTS}
    chosen = ",".join(PARTS) if arguments.loops == "parts" else arguments.loops
    unknown = set(chosen.split(",")) - set(known)
    if unknown:
        parser.error(f"no such loop: {', '.join(sorted(unknown))}")
    return arguments, {name: known[name] for name in chosen.split(",")}


def main():
    m.need_fuse()
    arguments, loops = parse_arguments()
    seconds = arguments.seconds
    spans = Spans(quiet=seconds / 3, kill=seconds / 6, attack=seconds, after=seconds / 12,
                  bare=0 if arguments.no_bare else seconds / 3)
    options = f",{arguments.options}" if arguments.options else ""
    reports = []
    for name, attacks in loops.items():
        report = on_spillfs(name, attacks, spans, options)
        report.bare = on_bare(attacks, spans.bare)
        reports.append(report)
        print_details(report)
    table = Table(reports)
    print(table)
    if arguments.kinds:
        print("\n".join(f"{report.loop}: {table.kinds(report)}" for report in table.reports))
    slow = [report.loop for report in table.reports if table.ratio(report) > WORST_RATIO]
    if slow:
        print(f"p99 above {WORST_RATIO} times the quiet one: {', '.join(slow)}")
    sys.exit(1 if slow or any(report.wrong() for report in reports) else 0)


if __name__ == "__main__":
    main()
