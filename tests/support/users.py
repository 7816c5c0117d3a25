# SPDX-License-Identifier: Apache-2.0
"""Calls made as another user, in a process of its own."""
import os
import pickle
import traceback


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
