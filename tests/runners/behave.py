# SPDX-License-Identifier: MIT
"""What a task of the Python runner does in tests/integration/test_runners_shipped.c."""
import os
import signal
import subprocess
import sys
import time

import ganger_runner

calls = 0


def behave(what, arg=None, *, suffix=""):
    global calls
    calls += 1
    if what == "echo":
        return arg if not suffix else arg + suffix
    if what == "calls":
        return calls
    if what == "pid":
        return os.getpid()
    if what == "big":
        return "x" * arg
    if what == "length":
        return len(arg)
    if what == "bytes":
        return b"\xff\x00"
    if what == "fail":
        raise ValueError(arg)
    if what == "print":
        print("to stdout")
        print("to stderr", file=sys.stderr)
        return None
    if what == "log":
        ganger_runner.log(arg, "warning")
        return None
    if what == "wait":
        ganger_runner.progress(1, 2, "waits")
        time.sleep(60)
    if what == "stubborn":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
        ganger_runner.progress(1, 2, "waits")
        while True:
            time.sleep(60)
    if what == "exit":
        sys.exit(arg)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "data":
        return pieces(arg)
    if what == "set":
        return {1}
    if what == "fork":
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(60)
        os.wait()
        return None
    if what == "task":
        return [ganger_runner.task.name, ganger_runner.task.attempt, ganger_runner.task.deadline is not None]
    if what == "input":
        with open(ganger_runner.task.inputs[arg], "rb") as file:
            return file.read()
    if what == "self":
        return subprocess.check_output([arg, "show", "self", "--json"], text=True)
    if what == "token":
        return os.environ["GANGER_TOKEN"]
    raise KeyError(what)


def pieces(n):
    for i in range(n):
        yield {"i": i}
    return "end"


def start():
    global calls
    calls = 100


def fail_to_start():
    raise RuntimeError("not today")
