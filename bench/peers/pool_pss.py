# SPDX-License-Identifier: MIT
"""A warm CPython ProcessPoolExecutor with two workers, at rest after 1,000 calls: prints one line and waits to be ended."""

import signal
from concurrent.futures import ProcessPoolExecutor


def echo(value):
    return value


def main():
    with ProcessPoolExecutor(2) as pool:
        for future in [pool.submit(echo, "x" * 100) for _ in range(1000)]:
            future.result()
        print("warm", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
