# SPDX-License-Identifier: Apache-2.0
"""Runs a program that a sanitizer has to stop: it fails, and the sanitizer says why.
usage: must_fail.py PROGRAM REPORT"""
import subprocess
import sys

program, report = sys.argv[1:]
done = subprocess.run([program], capture_output=True, text=True, timeout=60)
print(done.stderr)
if done.returncode == 0:
    sys.exit(f"{program} succeeded: no sanitizer looks at it, or its findings fail nothing")
if report not in done.stderr:
    sys.exit(f"{program} failed with {done.returncode}, without the report '{report}'")
