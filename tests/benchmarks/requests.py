"""Measures the request engine beside the openai package's AsyncOpenAI, and its use of a limit.

    python3 tests/benchmarks/requests.py PATH/bench_requests [speed|limits|memory] [--minutes 3]

speed:  both clients, one after the other and again, against the same static server: 64 requests in flight, 40 KB
pictures. limits: the stand-in server enforces 3,000 requests (or a number of tokens) a minute second by second; what
share of it is used,
        and how many requests are refused, with the limit told right, as tokens, by three processes, told twice too
        high, not told.
memory: a million requests fed; the peak of the process.
The openai package is looked for on PYTHONPATH (with its httpx, pydantic, ...). Prints one line a measurement.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def start_server(bench, kind, folder, **settings):
    port_file = Path(folder) / f"port-{time.monotonic_ns()}"
    words = [f"{k}={v}" for k, v in settings.items()]
    server = subprocess.Popen([bench, kind, f"port_file={port_file}", *words], stderr=subprocess.DEVNULL)
    for _ in range(600):
        if port_file.exists():
            return server, f"http://127.0.0.1:{port_file.read_text().strip()}/v1"
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"the {kind} server did not start")


def stop_server(server):
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=30)


def ask(bench, folder, url, **settings):
    journal = Path(folder) / f"journal-{time.monotonic_ns()}"
    words = [f"{k}={v}" for k, v in {"urls": url, "journal": journal, **settings}.items()]
    return subprocess.Popen([bench, "ask", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def figures(process):
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"bench_requests ask ended with {process.returncode}")
    return json.loads(out)


async def ask_with_openai(url, count, in_flight, image_bytes):
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none")
    picture = "data:image/jpeg;base64," + "A" * ((image_bytes + 2) // 3 * 4)
    places = asyncio.Semaphore(in_flight)

    async def one(number):
        async with places:
            content = [
                {"type": "image_url", "image_url": {"url": picture}},
                {"type": "text", "text": f"question {number}"},
            ]
            reply = await client.chat.completions.create(
                model="stand-in", messages=[{"role": "user", "content": content}]
            )
            assert reply.choices[0].message.content.startswith("answer")

    await asyncio.gather(*(one(n) for n in range(in_flight)))  # connections are open now
    start, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(one(n) for n in range(count)))
    result = count / (time.monotonic() - start), (time.process_time() - cpu) / count
    await client.close()
    return result


def speed(bench, folder, scale):
    """CPU time a request is told too: on a machine that others use, it is what can be compared."""
    server, url = start_server(bench, "static", folder)
    requests = int(60_000 * scale)
    theirs, ours = [], []
    for _ in range(3):
        theirs.append(asyncio.run(ask_with_openai(url, int(1500 * scale), 64, 40_000)))
        result = figures(ask(bench, folder, url, items=requests, concurrency=64, image_bytes=40_000, queued_items=4000))
        assert result["answered"] == requests, result
        ours.append((result["requests_per_s"], result["cpu_s"] / requests))
        print(
            "speed: "
            + ", ".join(
                f"{name} {rate:.0f}/s, {cpu * 1e6:.0f} us of CPU each"
                for name, (rate, cpu) in (("AsyncOpenAI", theirs[-1]), ("engine", ours[-1]))
            )
            + f" (peak {result['peak_mib']:.0f} MiB)",
            flush=True,
        )
    stop_server(server)
    print(
        f"speed: median of the ratios {statistics.median(o[0] / t[0] for o, t in zip(ours, theirs)):.1f} in requests/s,"
        f" {statistics.median(t[1] / o[1] for o, t in zip(ours, theirs)):.1f} in CPU time"
    )


def limits(bench, folder, minutes, only):
    warm_up = 20
    seconds = minutes * 60 + warm_up
    # name, server, client, processes, allowed requests a second (None: by tokens)
    cases = [
        ("told 3,000/min", dict(requests_per_minute=3000), dict(requests_per_minute=3000, concurrency=200), 1),
        (
            "told 3,000/min, 3 processes", dict(requests_per_minute=3000),
            dict(requests_per_minute=3000, concurrency=200), 3,
        ),
        ("told 60,000 tokens/min", dict(tokens_per_minute=60_000), dict(tokens_per_minute=60_000, concurrency=200), 1),
        (
            "told twice too high", dict(requests_per_minute=3000, limit_headers="false"),
            dict(requests_per_minute=6000, concurrency=200), 1,
        ),
        ("told nothing, no headers", dict(requests_per_minute=3000, limit_headers="false"), dict(), 1),
        ("told nothing, headers", dict(requests_per_minute=3000), dict(), 1),
    ]
    for name, server_settings, client_settings, processes in cases:
        if only and only not in name:
            continue
        server, url = start_server(bench, "serve", folder, latency_ms=500, threads=1000, **server_settings)
        clients = [
            ask(
                bench, folder, url, items=10**9, seconds=seconds, warm_up_s=warm_up, sender=r, senders=processes,
                queued_items=100, **client_settings,
            )
            for r in range(processes)
        ]
        results = [figures(c) for c in clients]
        stop_server(server)
        total = {k: sum(r[k] for r in results) for k in ("answered_after_warm_up", "sent", "rate_limited", "failed")}
        if "tokens_per_minute" in server_settings:
            a_request = 8 + 4 + 6  # as the server counts "question 1234" and "answer to question 1234"
            allowed = server_settings["tokens_per_minute"] / a_request * minutes
        else:
            allowed = server_settings["requests_per_minute"] * minutes
        print(
            f"limits: {name}: {100 * total['answered_after_warm_up'] / allowed:.2f} % of the allowed requests used over"
            f" {minutes} min after {warm_up} s, {total['rate_limited']} of {total['sent']} refused"
            f" ({100 * total['rate_limited'] / total['sent']:.2f} %), {total['failed']} lost",
            flush=True,
        )


def memory(bench, folder):
    server, url = start_server(bench, "static", folder)
    for items in (10_000, 1_000_000):
        journal = Path(folder) / f"journal-{items}"
        result = figures(ask(bench, folder, url, items=items, concurrency=64, journal=journal))
        again = figures(ask(bench, folder, url, items=items, concurrency=64, journal=journal))
        assert again["from_journal"] == items and again["sent"] == 0, again
        print(
            f"memory: {items} requests: peak {result['peak_mib']:.0f} MiB, {result['requests_per_s']:.0f}/s,"
            f" {result['cpu_s'] / items * 1e6:.0f} us of CPU each; again from the journal: peak {again['peak_mib']:.0f}"
            f" MiB, {again['wall_s']:.1f} s",
            flush=True,
        )
    stop_server(server)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("what", nargs="?", choices=["speed", "limits", "memory"])
    parser.add_argument("--scale", type=float, default=1, help="of the numbers of requests of `speed`")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--only", default="", help="part of the name of the cases of `limits` to run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what in (None, "speed"):
            speed(args.bench, folder, args.scale)
        if args.what in (None, "limits"):
            limits(args.bench, folder, args.minutes, args.only)
        if args.what in (None, "memory"):
            memory(args.bench, folder)


if __name__ == "__main__":
    sys.exit(main())
