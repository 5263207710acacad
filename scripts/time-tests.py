#!/usr/bin/env python3
"""Runs a test program for `cargo test`, and appends a line for each of its tests to the file KFORGE_TEST_TIMES: seconds,
name, and ok, ignored or FAILED.

Stable Rust's libtest keeps times to itself. It starts tests in the order of `--list`, as many as RUST_TEST_THREADS at
once and the next when one ends, and prints a line when one ends; libtest-mimic does the same. So when each began follows
from when the others ended. Of what the program prints, lines of tests that passed are left out.
"""

import os
import re
import subprocess
import sys
import time

RESULT = re.compile(r"test (.+?)(?: - should panic)? +\.\.\. (ok|ignored|FAILED)")


def main():
    program, *arguments = sys.argv[1:]
    arguments = [argument for argument in arguments if argument != "--quiet"]
    listed = subprocess.run([program, *arguments, "--list"], stdout=subprocess.PIPE, text=True).stdout
    waiting = [line.rsplit(": ", 1)[0] for line in listed.splitlines() if line.endswith(": test")]
    if not waiting:
        return 0
    name = re.sub(r"-[0-9a-f]{16}$", "", os.path.basename(program))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = int(os.environ.get("RUST_TEST_THREADS") or cores)
    now = time.monotonic()
    begun = {test: now for test in waiting[:threads]}
    waiting = iter(waiting[threads:])
    child = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True, errors="replace")
    with open(os.environ["KFORGE_TEST_TIMES"], "a") as times:
        for line in child.stdout:
            now = time.monotonic()
            ended = RESULT.match(line)
            if ended:
                times.write(f"{now - begun.pop(ended[1], now):.3f}\t{name}: {ended[1]}\t{ended[2]}\n")
                following = next(waiting, None)
                if following:
                    begun[following] = now
            if line.startswith("running "):
                line = f"{name}: {line}"
            if line.strip() and not (ended and ended[2] == "ok"):
                sys.stdout.write(line)
                sys.stdout.flush()
    return child.wait()


if __name__ == "__main__":
    status = main()
    # A signal is passed on as a shell does.
    sys.exit(status if status >= 0 else 128 - status)
