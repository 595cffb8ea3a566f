# SPDX-License-Identifier: MIT
"""CPython's pools with two workers, a function that does nothing with 100 bytes: calls.py WHAT SECONDS

WHAT is submit (submit + as_completed), map1 (Executor.map), imap1 and imap100 (Pool.imap_unordered by its chunk size),
call (one after the other), or fib (fib(25) to fib(35), naive). Prints one line `name: value unit`."""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

WORKERS = 2
TEXT = "x" * 100
TAG = "python%d.%d" % sys.version_info[:2]


def echo(value):
    return value


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def submit(pool):
    futures = [pool.submit(echo, TEXT) for _ in range(5000)]
    for future in as_completed(futures):
        future.result()
    return len(futures)


def map_one(pool):
    return sum(1 for _ in pool.map(echo, [TEXT] * 5000, chunksize=1))


def rate(name, once, pool, seconds):
    once(pool)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        n += once(pool)
    print(f"{TAG}_{name}: {n / (time.perf_counter() - start):.0f} calls/s")


def calls(pool, seconds):
    took, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        pool.submit(echo, TEXT).result()
        took.append(time.perf_counter() - before)
    took.sort()
    print(f"{TAG}_call: p50 {took[len(took) // 2] * 1e6:.0f} us")


def fibs():
    start = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(fib, n) for n in range(25, 36)]):
            future.result()
    print(f"{TAG}_fib25_35: {(time.perf_counter() - start) * 1000:.1f} ms")


def main():
    what, seconds = sys.argv[1], float(sys.argv[2])
    if what == "fib":
        fibs()
    elif what in ("imap1", "imap100"):
        chunk = int(what[4:])
        texts = [f"{i:0100d}" for i in range(5000 * chunk)]
        with multiprocessing.Pool(WORKERS) as pool:
            rate(what, lambda p: sum(1 for _ in p.imap_unordered(echo, texts, chunksize=chunk)), pool, seconds)
    else:
        with ProcessPoolExecutor(WORKERS) as pool:
            if what == "call":
                calls(pool, seconds)
            else:
                rate(what, {"submit": submit, "map1": map_one}[what], pool, seconds)


if __name__ == "__main__":
    main()
