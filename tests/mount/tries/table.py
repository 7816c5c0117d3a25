# SPDX-License-Identifier: Apache-2.0
"""The table that tries are entered into, and what they have in common."""

import errno
import os
import time

ALICE, BOB = 4001, 4002
TABLE = []


class Try:
    """What to do in a directory, where it was reported, and what a mount does otherwise."""

    def __init__(self, call, source, differs):
        self.call, self.source, self.differs = call, source, differs
        self.name = call.__name__


def tried(threads, reported, **differs):
    """Enters a function of an empty directory. It returns a dictionary: what was seen, by label.

    `threads`: repository and number of those in which it was `reported`.
    `differs`: for a label at which a mount is not as ext4 what it gives instead; docs/SEMANTICS.md
    says why ("Not as on ext4").
    """

    def enter(call):
        TABLE.append(Try(call, f"{threads}: {reported}", differs))
        return call

    return enter


def got(call, *arguments, **named):
    """What a call returns, or the name of the errno that it raises."""
    try:
        return call(*arguments, **named)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def make(path, data=b"", mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    return path


def moved(call, *paths):
    """Which times of which paths a call has changed: mtime and ctime."""
    before = [os.lstat(path) for path in paths]
    time.sleep(0.02)
    outcome = got(call)
    changed = []
    for path, old in zip(paths, before):
        new = os.lstat(path)
        changed.append(
            [
                name
                for name in ("mtime", "ctime")
                if getattr(new, f"st_{name}_ns") != getattr(old, f"st_{name}_ns")
            ]
        )
    return (outcome, *changed) if isinstance(outcome, str) else tuple(changed)


def in_child(call):
    """What call() returns in a process of its own, a number below 256; or its signal, negative."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            status = call() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def all_ended(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def start(call):
    """Forks a process that runs call(); its id."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            status = call() or 0
        finally:
            os._exit(status)
    return child
