#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A warm runner for Python functions. Standard library only; docs/runner-protocol.md is the protocol.

    [function mean]
    kind = runner
    runner = ["python3", "/usr/share/ganger/ganger_runner.py"]
    call = statistics:mean
    env = {"PYTHONPATH": "/srv/app"}

`call` is "module:name" (name may have dots). What the function returns is the job's result: JSON where
that is possible, bytes as they are, and with the argument --pickle a pickle of anything else. Then a call whose only
argument is {"$py": base64 of pickle.dumps((args, kwargs))} gets these, and gives a pickle: whoever may call such a
function can run any code. A
generator yields partial results. What it raises is the job's error. Inside of a call:

    import ganger_runner
    ganger_runner.task.id, .name, .attempt, .deadline      # whose call this is
    open(ganger_runner.task.inputs["data"], "rb")          # a blob among the job's inputs
    ganger_runner.progress(3, 10, "tile 3")
    subprocess.run(["ganger", "submit", "--function", "f"])   # as this job: GANGER_URL and GANGER_TOKEN are its own
    ganger_runner.log("half of it", level="warning")

Cancel and time limits arrive as ganger_runner.Cancelled, raised wherever the function is.
`init` of the function, or the initializer of its pool, is called once before the first task, as "module:name" or as
JSON, {"fn": "module:name", "args": [...], "kwargs": {...}}; before that the modules in the pool's `preload` are imported.
In a pool with isolation "fork" each call runs in a process of its own that is forked after that.
"""
import contextlib
import importlib
import json
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
import types
import urllib.parse

SHM_FROM = 256 * 1024  # larger bodies go through the outbox
PICKLES = "--pickle" in sys.argv[1:]


class Cancelled(BaseException):
    """The service asks this task to stop. Not an Exception, so that `except Exception` lets it pass."""


class Task:
    """The task that runs."""

    id = name = None
    attempt = 0
    deadline = None  # time.monotonic() when it must be over
    inputs = {}  # paths of the job's blobs, by name


task = Task()


class Frames:
    """The two pipes."""

    def __init__(self):
        # Under other numbers and not inherited: a process that the function starts must not hold them.
        self.incoming = os.fdopen(self._move("GANGER_IN_FD", 3), "rb")
        self.out = self._move("GANGER_OUT_FD", 4)
        self.outbox = self._move("GANGER_OUTBOX_FD", 6)
        self.lock = threading.Lock()

    @staticmethod
    def _move(name, default):
        fd = int(os.environ.get(name, default))
        moved = os.dup(fd)  # not inheritable (PEP 446)
        os.set_inheritable(fd, False)
        return moved

    def put(self, verb, ident, body=b"", **keys):
        if len(body) > SHM_FROM and verb == "RESULT":
            os.ftruncate(self.outbox, 0)
            sent = 0
            while sent < len(body):
                sent += os.pwrite(self.outbox, body[sent:sent + (1 << 30)], sent)
            keys["shm"] = "/proc/self/fd/6:%d" % len(body)
            body = b""
        head = "%s %s %d" % (verb, ident, len(body))
        for key, value in keys.items():
            head += " %s=%s" % (key, urllib.parse.quote(str(value), safe="/:"))
        frame = head.encode() + b"\n" + (body + b"\n" if body else b"")
        with interrupts.hold(), self.lock:
            while frame:
                frame = frame[os.write(self.out, frame):]

    def get(self):
        """The next frame as (verb, id, keys, body), or None at the end."""
        line = self.incoming.readline()
        if not line.endswith(b"\n"):
            return None
        verb, ident, length, *pairs = line.decode("ascii").split()
        body = self.incoming.read(int(length) + 1)[:-1] if int(length) else b""
        keys = {key: urllib.parse.unquote(value) for key, value in (pair.split("=", 1) for pair in pairs)}
        if "shm" in keys:
            path, _, size = keys["shm"].rpartition(":")
            with open(path, "rb") as inbox:
                body = inbox.read(int(size))
        return verb, ident, keys, body


frames = None  # set by main()


def progress(done, total=1.0, text=""):
    if frames and task.id:
        frames.put("PROGRESS", task.id, json.dumps([done, total, str(text)]).encode())


def log(text, level="info"):
    if frames and task.id:
        frames.put("LOG", task.id, str(text).encode(), level=level)


def find(name):
    """"module:function" or "module:Class.method"; without a module, a builtin."""
    module, _, path = name.rpartition(":")
    found = importlib.import_module(module or "builtins")
    for part in path.split("."):
        found = getattr(found, part)
    return found


def encode(value, codec="json"):
    """Returns codec and bytes."""
    if codec == "pickle":
        return codec, pickle.dumps(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "raw", bytes(value)
    try:
        return "json", json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        if not PICKLES:
            raise
    return "pickle", pickle.dumps(value)


def decode(codec, body, keys):
    """Returns function name, args, kwargs."""
    if codec == "pickle":
        args, kwargs = pickle.loads(body)
        return keys["fn"], args, kwargs
    call = json.loads(body)
    return call["fn"], call.get("args", []), call.get("kwargs", {})


def describe(error):
    """The frame ERROR of an exception."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__
    try:
        message = str(error)
    except Exception:  # a broken __str__ must not cost the runner
        message = "(no text)"
    text = "".join(traceback.format_exception(kind, error, error.__traceback__))
    body = json.dumps({"type": name, "message": message[:100000], "traceback": text[-100000:]})
    return "ERROR", body.encode(), {"type": name[:100], "codec": "json"}


def call(fn, args, kwargs, ident, codec):
    value = find(fn)(*args, **kwargs)
    if isinstance(value, types.GeneratorType):
        try:
            while True:
                said, body = encode(next(value), codec)
                frames.put("DATA", ident, body, codec=said)
        except StopIteration as end:
            value = end.value
    return encode(value, codec)


def flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


class Interrupts:
    """SIGINT raises Cancelled while a task works, and is nothing otherwise. Never within a frame."""

    armed = pending = False
    held = 0

    def __init__(self):
        self.child = 0  # the process that works on the task
        signal.signal(signal.SIGINT, self.on_signal)

    def on_signal(self, *_):
        if self.child:
            os.kill(self.child, signal.SIGINT)  # not reaped yet, see run_forked
        elif self.held:
            self.pending = True
        elif self.armed:
            self.armed = False
            raise Cancelled("cancelled by the service")

    @contextlib.contextmanager
    def hold(self):
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
        if self.pending and not self.held:
            self.pending = False
            self.on_signal()


interrupts = Interrupts()


def attempt(ident, keys, body):
    """Returns the final frame: verb, body, keys. Raises Cancelled."""
    try:
        interrupts.pending = False
        interrupts.armed = True
        asked = keys.get("codec", "json")
        fn, args, kwargs = decode(asked, body, keys)
        codec, value = call(fn, args, kwargs, ident, asked)
        return "RESULT", value, {"codec": codec}
    except Cancelled:
        raise
    except SystemExit as end:
        interrupts.armed = False
        flush()
        os._exit(exit_code(end))
    except BaseException as error:
        return describe(error)
    finally:
        interrupts.armed = False


def own(keys):
    """What a program finds that the task starts: the service, and who the task is there."""
    for name, key in (("GANGER_URL", "url"), ("GANGER_TOKEN", "token")):
        os.environ.pop(name, None)
        if key in keys:
            os.environ[name] = keys[key]


def run(ident, keys, body):
    own(keys)
    task.id, task.name, task.attempt = ident, keys.get("name"), int(keys.get("attempt", 1))
    task.inputs = {key[6:]: value.rpartition(":")[0] for key, value in keys.items() if key.startswith("input.")}
    left = keys.get("deadline_ms")
    task.deadline = None if left is None else time.monotonic() + int(left) / 1000
    try:
        verb, value, more = attempt(ident, keys, body)
    except Cancelled:
        verb, value, more = "CANCELLED", b"", {}
    task.id = None
    own({})
    flush()
    frames.put(verb, ident, value, **more)


def run_forked(ident, keys, body):
    """The task in a process of its own, which begins with all that was imported and remembered here."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        frames.put("FORKED", ident, pid=os.getpid())
        run(ident, keys, body)
        os._exit(0)
    interrupts.child = child
    pidfd = os.pidfd_open(child)
    watch = select.poll()
    watch.register(pidfd, select.POLLIN)
    watch.register(frames.incoming, 0)  # its end alone: the service is gone
    if not any(fd == pidfd for fd, _ in watch.poll()):
        os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    interrupts.child = 0
    _, status, usage = os.wait4(child, 0)
    os.close(pidfd)
    cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
    frames.put("EXITED", ident, status=os.waitstatus_to_exitcode(status), cpu_us=cpu_us, rss=usage.ru_maxrss * 1024)


def exit_code(end):
    if end.code is None:
        return 0
    return end.code & 255 if isinstance(end.code, int) else 1


def init(keys, body):
    for name in filter(None, keys.get("preload", "").split(",")):
        importlib.import_module(name)
    text = body.decode()
    if not text:
        return
    if text.lstrip().startswith("{"):
        wanted = json.loads(text)
        find(wanted["fn"])(*wanted.get("args", []), **wanted.get("kwargs", {}))
    else:
        find(text.strip())()


def main():
    global frames
    frames = Frames()
    sys.modules.setdefault("ganger_runner", sys.modules["__main__"])
    forks = os.environ.get("GANGER_ISOLATION") == "fork"
    codecs = ["json", "raw"] + (["pickle"] if PICKLES else [])
    hello = {"lang": "python", "codecs": codecs, "caps": ["init", "sigint", "shm"] + forks * ["fork"], "max_inflight": 1}
    frames.put("HELLO", 1, json.dumps(hello).encode())
    while (frame := frames.get()) is not None:
        verb, ident, keys, body = frame
        if verb == "TASK":
            (run_forked if forks else run)(ident, keys, body)
        elif verb == "PING":
            frames.put("PONG", ident)
        elif verb == "INIT":
            try:
                init(keys, body)
            except BaseException as error:
                verb, value, more = describe(error)
                flush()
                frames.put(verb, ident, value, **more)
                os._exit(1)
            frames.put("READY", ident)
        elif verb == "QUIT":
            break
    flush()
    os._exit(0)  # threads of functions must not keep it


if __name__ == "__main__":
    main()
