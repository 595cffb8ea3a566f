#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A runner of its own kind, for tests of the rules of the protocol: each frame by hand.

odd.py START [CAPS [CODECS]]: how it starts, what HELLO says. What a task makes it do is its first argument.
"""
import json
import os
import signal
import sys
import time

start = sys.argv[1] if len(sys.argv) > 1 else "well"
caps = sys.argv[2].split(",") if len(sys.argv) > 2 and sys.argv[2] else []
codecs = sys.argv[3].split(",") if len(sys.argv) > 3 else ["json"]
IN = os.fdopen(3, "rb")
answers = True  # to PING
told_by = None  # a file that is made at the next PING


def raw(data):
    while data:
        data = data[os.write(4, data):]


def put(verb, ident, body=None, keys=""):
    body = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    raw(f"{verb} {ident} {len(body)}{keys}\n".encode() + (body + b"\n" if body else b""))


def result(ident, value):
    put("RESULT", ident, value, " codec=json")


def wait_for_cancel():
    """Reads fd 3 while it works."""
    while True:
        verb, ident, n, *_ = IN.readline().decode().split()
        if verb == "CANCEL":
            return ident


def forever():
    while True:
        time.sleep(60)


def forever_unless_over(frames):
    """Who has said EXITED has answered, and takes the next task."""
    if frames[-1][0] != "EXITED":
        forever()


def work(ident, call, header):
    global answers, told_by
    what, *more = call["args"]
    if what == "echo":
        result(ident, call)
    elif what == "header":
        result(ident, header)
    elif what == "pid":
        result(ident, os.getpid())
    elif what == "fds":
        result(ident, sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)))
    elif what == "links":
        result(ident, [os.readlink(f"/proc/self/fd/{fd}") for fd in range(7)])
    elif what == "session":
        result(ident, [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()])
    elif what == "env":
        result(ident, {k: v for k, v in os.environ.items() if k.startswith("GANGER_")})
    elif what == "cwd":
        result(ident, os.getcwd())
    # rule 1
    elif what == "twice":
        raw(f"RESULT {ident} 1 codec=json\n1\nRESULT {ident} 1 codec=json\n2\n".encode())
    elif what == "exit":
        os._exit(more[0])
    elif what == "die":
        os.kill(os.getpid(), more[0])
    elif what == "answer_and_exit":
        raw(f"RESULT {ident} 1 codec=json\n7\n".encode())
        os._exit(3)
    # rule 2
    elif what == "verb":
        put("MARVEL", ident)
        forever()
    elif what == "id":
        result("somebody-else", 1)
        forever()
    elif what == "pong":
        put("PONG", 99)
        forever()
    elif what == "frames":  # without bodies: a verb and its keys each
        for verb, keys in more[0]:
            put(verb, ident, None, keys)
        forever_unless_over(more[0])
    elif what == "noise":
        raw(b"what is this\n")
        forever()
    elif what == "keys":
        put("RESULT", ident, b"1", " codec=json future=yes colour=%E2%82%AC")
    elif what == "break":
        raw(f"RESULT {ident} 1 codec=json\n77\n".encode())
        forever()
    # rule 3
    elif what == "print":
        os.write(1, b"x" * more[0])
        os.write(2, b"to stderr\n")
        result(ident, more[0])
    # rule 4
    elif what == "close":
        os.close(4)
        forever()
    # rule 5
    elif what == "await_cancel":
        put("PROGRESS", ident, [1, 2, "waits"])
        assert wait_for_cancel() == ident
        put("CANCELLED", ident)
    elif what == "win":
        put("PROGRESS", ident, [1, 2, "waits"])
        wait_for_cancel()
        result(ident, "faster")
    elif what == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        put("PROGRESS", ident, [1, 2, "waits"])
        forever()
    elif what == "child":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                forever()
            os._exit(0)
        os.wait()
        result(ident, 1)
    # rule 9
    elif what == "shm":
        os.ftruncate(6, 0)
        os.pwrite(6, json.dumps("y" * more[0]).encode(), 0)
        put("RESULT", ident, None, f" codec=json shm=/proc/self/fd/6:{more[0] + 2}")
    elif what == "relay":  # what it was given as the input "data"
        path, _, size = dict(pair.split("=", 1) for pair in header.split()[3:])["input.data"].rpartition(":")
        with open(path, "rb") as source:
            os.lseek(6, 0, os.SEEK_SET)
            while os.sendfile(6, source.fileno(), None, 1 << 20):
                pass
        put("RESULT", ident, None, f" codec=raw shm=/proc/self/fd/6:{size}")
    elif what == "outbox":
        result(ident, os.fstat(6).st_size)
    elif what == "short_shm":
        os.pwrite(6, b"1", 0)
        put("RESULT", ident, None, " codec=json shm=/proc/self/fd/6:1000000")
    elif what == "length":
        result(ident, len(more[0]))
    # rule 10
    elif what == "deaf":
        answers = False
        result(ident, os.getpid())
    elif what == "busy":
        time.sleep(more[0])
        result(ident, os.getpid())
    elif what == "pongs":  # so many PINGs are answered while it works
        for _ in range(more[0]):
            verb, number, *_ = IN.readline().decode().split()
            put("PONG", number)
            assert verb == "PING"
        result(ident, os.getpid())
    elif what == "tell":
        told_by = more[0]
        result(ident, os.getpid())
    # rule 11
    elif what == "bye":
        put("BYE", 0, None, " reason=memory")
        result(ident, os.getpid())
    # rule 12
    elif what == "huge":
        raw(f"RESULT {ident} 9999999999 codec=json\n".encode() + b"1" * 100000)
        forever()
    elif what == "large":
        result(ident, "z" * more[0])
    elif what == "large_and_more":  # in one piece, so that what follows is read with it
        def piece(head, body):
            return f"{head % len(body)}\n{body}\n".encode()

        raw(piece(f"RESULT {ident} %d codec=json", json.dumps("z" * more[0]))
            + piece("CALL 77 %d op=/v1/shared/x/get", '{"key": "x"}'))
        head = IN.readline().decode().split()
        IN.read(int(head[2]) + 1)
    elif what == "huge_log":
        raw(f"LOG {ident} 9999999999\n".encode())
        forever()
    elif what == "line":
        raw(b"RESULT " + b"9" * 5000)
        forever()
    elif what == "pickle":
        put("RESULT", ident, b"\x80\x04K\x07.", " codec=pickle")
    elif what == "not_json":
        put("RESULT", ident, b"{1}", " codec=json")
    elif what == "bytes":
        put("RESULT", ident, bytes(more[0]), " codec=raw")
    # partial results
    elif what == "data":
        for item in more[0]:
            put("DATA", ident, json.dumps(item).encode(), " codec=json")
        result(ident, "end")
    elif what == "data_wait":
        put("DATA", ident, 1, " codec=json")
        put("DATA", ident, b"two", " codec=raw")
        put("DATA", ident, b"\xff", " codec=raw")
        put("DATA", ident, b"\x80.", " codec=pickle")
        put("PROGRESS", ident, [1, 2, "waits"])
        wait_for_cancel()
        put("CANCELLED", ident)
    elif what == "data_large":
        put("DATA", ident, b'"' + b"x" * (more[0] - 2) + b'"', " codec=json")
        result(ident, "end")
    elif what == "data_not_json":
        put("DATA", ident, b"{1}", " codec=json")
        result(ident, 1)
    elif what == "hold":
        global held
        held = bytearray(more[0])
        result(ident, os.getpid())
    elif what == "for_ever":
        put("ERROR", ident, {"type": "OddError", "message": "never"}, " retry=0")
    # errors
    elif what == "error":
        put("ERROR", ident, {"type": "OddError", "message": "it is odd", "traceback": "line 1\nline 2"}, " type=OddError")
    elif what == "long_error":
        put("ERROR", ident, {"type": "OddError", "message": "it is odd", "traceback": "t" * more[0]})
    elif what == "raw_error":
        put("ERROR", ident, b"just text", " type=Odd%20Error codec=raw")
    elif what == "cancelled":
        put("CANCELLED", ident)
    elif what == "log":
        put("LOG", ident, b"a line for the log", " level=warning")
        result(ident, 1)
    elif what == "call":
        put("CALL", "77", {"key": "x"}, " op=/v1/shared/x/get")
        head = IN.readline().decode().split()
        result(ident, [head[0], head[1], head[3], json.loads(IN.read(int(head[2]) + 1))["status"]])
    else:
        put("ERROR", ident, {"type": "KeyError", "message": what})


def main():
    global answers, told_by
    if start == "silent":
        forever()
    if start.startswith("once:") and not os.path.exists(start[len("once:"):]):
        open(start[len("once:"):], "w").close()
        sys.exit("not at once")
    if start == "fail" or start.startswith("until:") and not os.path.exists(start[len("until:"):]):
        sys.exit("no such thing as a module")
    if start == "version":
        put("HELLO", 2, {"codecs": ["json"]})
        forever()
    if start == "early":
        put("PONG", 1)
        forever()
    os.write(2, b"warming up\n")
    put("HELLO", 1, {"lang": "odd", "codecs": codecs, "caps": caps, "max_inflight": 1, "new": [1]})
    for line in IN:
        verb, ident, n, *keys = line.decode().split()
        if verb == "TASK" and "late_body" in sys.argv:  # rule 8: it talks before it listens
            os.write(1, b"x" * 1000000)
            for _ in range(100):
                put("LOG", ident, b"l" * 10000)
        body = IN.read(int(n) + 1)[:-1] if int(n) else b""
        shm = dict(pair.split("=", 1) for pair in keys).get("shm")
        if shm:
            path, _, size = shm.rpartition(":")
            with open(path, "rb") as inbox:
                body = inbox.read(int(size))
        if verb == "QUIT":
            sys.exit(0)
        if verb == "INIT":
            if body == b"fail":
                put("ERROR", "init", {"type": "InitError", "message": "not today"})
                sys.exit(1)
            if body == b"never":
                os.write(2, b"never ready\n")
                forever()
            if body == b"unanswered":
                continue
            if body == b"behind":  # rule 7: what comes next lies in the pipe already
                assert IN.peek(4).startswith(b"TASK")
            put("READY", "init")
        if verb == "PING" and told_by:
            os.write(1, b"nobody's")
            os.write(2, b"nobody's")
            open(told_by, "w").close()
            told_by = None  # once: a later PING may be under way when a task is sent
        if verb == "PING" and answers:
            put("PONG", ident)
        if verb == "TASK" and "raw" in codecs:
            put("RESULT", ident, body, " codec=raw")
        elif verb == "TASK" and json.loads(body)["args"][0] == "breaks":
            result(ident, body.count(b"\n"))
        elif verb == "TASK":
            work(ident, json.loads(body), line.decode())


main()
