# SPDX-License-Identifier: Apache-2.0
"""Calls made as another user, in a process of its own."""
import ctypes
import os
import pickle
import signal
import traceback

PR_SET_PDEATHSIG = 1


def as_user(uid, call, groups=()):
    """What call() returns; raises the OSError it raises."""
    results, result = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = None
        try:
            os.setgroups(list(groups))
            os.setgid(uid)
            os.setuid(uid)
            outcome = ("done", call())
        except OSError as error:
            outcome = ("refused", error.errno)
        except BaseException:
            outcome = ("failed", traceback.format_exc())
        with open(result, "wb") as file:
            pickle.dump(outcome, file)
        os._exit(0)
    os.close(result)
    with open(results, "rb") as file:
        kind, what = pickle.load(file)
    os.waitpid(child, 0)
    assert kind != "failed", what
    if kind == "refused":
        raise OSError(what, os.strerror(what))
    return what


def die_with_parent(parent):
    """For a process that `parent` has forked. A change of user undoes it: to be called after that."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
