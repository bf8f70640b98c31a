"""Loads a server on this machine and writes benchmarks/results/serving.json. Sends nothing anywhere else.

    python benchmarks/serving.py [--model shipped] [--seconds 60] [--minutes 30] [--fuzzed 2000]

1. throughput: questions a second of clients that ask one at a time, and of a few that send lists, beside `classify` of
   the same questions in this process, without the server, before and after, and of as many at a time as the most
   clients ask; clients and server share the machine;
2. statuses and latency at each number of clients;
3. a mix of good, bad and abusive requests at a bounded rate, with the server's memory, and every good answer
   compared with `classify`;
4. bodies made up with a seed;
5. SIGTERM under load: every request that the server took against the answers that reached a client.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from common import HERE, table, write_results
from serving_client import Connection, Seen, Server

from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.devices import Compute
from subjectwise.predictors import load_predictor
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Prediction
from subjectwise.utils.versions import library_versions, machine_description

FILES = [HERE.parent / "data" / f"short_questions_{split}.jsonl" for split in ("train", "test")]
CLIENTS = (1, 4, 16, 64)
LISTS = (8, 64)  # clients, and questions that each sends at a time
ABUSERS, PAUSE = 12, 0.25  # clients of the mix, and the mean pause of each in seconds


def offline_rate(classifier: QuestionClassifier, questions: list[str], seconds: float, size: int = 0) -> float:
    """Questions a second of `classify`: all of them again and again, or as many as `size` at a time."""
    lists = [questions[start : start + size] for start in range(0, len(questions), size)] if size else [questions]
    done, started = 0, time.perf_counter()
    for part in itertools.cycle(lists):
        classifier.classify(part)
        done += len(part)
        if time.perf_counter() - started >= seconds:
            break
    return done / (time.perf_counter() - started)


async def in_parallel(count: int, client: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*(client(number) for number in range(count)))


def scores_of(body: bytes) -> dict[str, float]:
    return {row["label"]: row["score"] for row in json.loads(body)}


def results_of(body: bytes) -> list[dict[str, float]]:
    return [result["scores"] for result in json.loads(body)["results"]]


def load(server: Server, expected: list[Prediction], clients: int, seconds: float, size: int = 0) -> dict[str, Any]:
    """Clients that ask one question after another without a pause, or a list of `size` after another."""
    seen = Seen(server.tolerance)
    answered = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal answered
        connection = Connection(server.address)
        position = number * 37
        while time.perf_counter() < end:
            wanted = [expected[(position + turn) % len(expected)] for turn in range(size or 1)]
            position += len(wanted)
            asked: dict[str, Any]
            path, asked = "/classify", {"inputs": wanted[0].question}
            if size:
                path, asked = "/v1/classify", {"questions": [one.question for one in wanted]}
            reply = await connection.post(path, json.dumps(asked).encode())
            seen.statuses[str(reply.status)] += 1
            if reply.status == 200:
                seen.seconds.append(reply.seconds)
                answered += len(wanted)
                results = results_of(reply.body) if size else [scores_of(reply.body)]
                for scores, one in zip(results, wanted, strict=True):
                    seen.compare(scores, one)
        connection.close()

    started = time.perf_counter()
    asyncio.run(in_parallel(clients, client))
    return {
        "clients": clients,
        "questions_at_a_time": size or 1,
        "questions_per_second": answered / (time.perf_counter() - started),
        "statuses": dict(seen.statuses),
        "seconds": seen.latency(),
        "wrong": seen.wrong,
        "other_label": seen.other_label,
        "largest_difference": seen.largest,
    }


BAD = (
    b"", b"{", b"[]", b"null", b'{"inputs": ""}', b'{"inputs": 3}', b'{"inputs": ["a", "b"]}', b'{"questions": []}',
    b'{"questions": ["a"], "top_k": -1}', b'{"inputs": "\\ud800"}', b"\xff\xfe", b'{"inputs": "bell \\u0007"}',
)  # fmt: skip


async def abuse(server: Server, generator: random.Random, seen: Seen) -> None:
    """Something that no client should do."""
    kind = generator.randrange(6)
    connection = Connection(server.address)
    if kind < 4:
        body = (
            json.dumps({"inputs": "x" * 60_000}).encode(),
            b'{"inputs": "' + b"x" * 3_000_000 + b'"}',
            b"[" * 50_000,
            json.dumps({"questions": ["What is it? " * 300] * 128}).encode(),
        )[kind]
        reply = await connection.post(generator.choice(("/classify", "/predict", "/v1/classify")), body)
        seen.statuses[str(reply.status)] += 1
    else:
        # It leaves without waiting for its answer, or in the middle of what it has to say.
        _, writer = await asyncio.open_connection(*server.address)
        body = b'{"inputs": "Who is there?"}'
        writer.write(b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + (body if kind == 4 else body[:9]))
        await writer.drain()
        writer.close()
        seen.statuses["left"] += 1
    connection.close()


def mix(server: Server, expected: list[Prediction], minutes: float) -> dict[str, Any]:
    """Half good requests, a third bad, the rest abusive, with pauses; the server's memory every second."""
    good, bad, abusive = (Seen(server.tolerance) for _ in range(3))
    memory: list[float] = []
    end = time.perf_counter() + minutes * 60

    async def client(number: int) -> None:
        generator = random.Random(number)
        connection = Connection(server.address)
        while time.perf_counter() < end:
            await asyncio.sleep(generator.uniform(0, 2 * PAUSE))
            drawn = generator.random()
            try:
                if drawn < 0.5:
                    asked = generator.sample(expected, generator.randint(1, 8))
                    body = json.dumps({"questions": [wanted.question for wanted in asked]}).encode()
                    reply = await connection.post("/v1/classify", body)
                    good.statuses[str(reply.status)] += 1
                    if reply.status == 200:
                        good.seconds.append(reply.seconds)
                        for scores, wanted in zip(results_of(reply.body), asked, strict=True):
                            good.compare(scores, wanted)
                elif drawn < 0.85:
                    path = generator.choice(("/classify", "/predict", "/v1/classify", "/nothing"))
                    reply = await connection.post(path, generator.choice(BAD))
                    bad.statuses[str(reply.status)] += 1
                else:
                    await abuse(server, generator, abusive)
            except ConnectionError as error:
                (good if drawn < 0.5 else abusive).statuses[f"no answer: {error}"] += 1
        connection.close()

    async def watch() -> None:
        while time.perf_counter() < end:
            memory.append(server.megabytes())
            await asyncio.sleep(1)

    async def whole() -> None:
        await asyncio.gather(in_parallel(ABUSERS, client), watch())

    asyncio.run(whole())
    # The first tenth warms up: the model's largest batch, and what the allocator keeps of it.
    tenth = max(len(memory) // 10, 1)
    early, late = statistics.median(memory[tenth : 2 * tenth] or memory), statistics.median(memory[-tenth:])
    return {
        "minutes": minutes,
        "good": {"statuses": dict(good.statuses), "seconds": good.latency(), "compared": good.compared,
                 "wrong": good.wrong, "other_label": good.other_label, "largest_difference": good.largest},
        "bad": dict(bad.statuses),
        "abusive": dict(abusive.statuses),
        "megabytes": {"second_tenth": early, "last_tenth": late, "growth": late / early - 1, "most": max(memory),
                      "every_minute": memory[::60]},
    }  # fmt: skip


def fuzz(server: Server, count: int) -> dict[str, Any]:
    """Bodies that were good once, with bytes and values changed at random."""
    generator = random.Random(42)
    seeds = [
        b'{"inputs": "What is torque?", "raw_scores": false, "truncate": true}',
        b'{"inputs": [["What is torque?"], ["What is a tort?"]]}',
        b'{"questions": ["What is torque?", {"text": "Which?", "options": ["a", "b"]}], "with_options": true, '
        b'"top_k": 3, "min_confidence": 0.5, "multi_label": true, "explain": false}',
    ]
    values = (b"null", b"true", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b'"\\ud800"', b"[" * 200, b"9" * 5000)
    statuses: Counter[str] = Counter()

    async def run() -> None:
        connection = Connection(server.address)
        for _ in range(count):
            body = bytearray(generator.choice(seeds))
            for _ in range(generator.randint(1, 4)):
                position = generator.randrange(len(body) + 1)
                change = generator.randrange(4)
                if change == 0:
                    body[position : position + 1] = generator.randbytes(1)
                elif change == 1:
                    del body[position : position + generator.randint(1, 20)]
                elif change == 2:
                    body[position:position] = generator.choice(values)
                else:
                    parts = bytes(body).split(b" ")
                    parts[generator.randrange(len(parts))] = generator.choice(values)
                    body = bytearray(b" ".join(parts))
            kind = generator.choice(("application/json", "application/json", "text/plain", "multipart/form-data"))
            path = generator.choice(("/classify", "/predict", "/v1/classify", "/v1/reload"))
            try:
                statuses[str((await connection.post(path, bytes(body), kind=kind)).status)] += 1
            except ConnectionError as error:
                statuses[f"no answer: {error}"] += 1
        connection.close()

    asyncio.run(run())
    return {"bodies": count, "statuses": dict(statuses), "only_2xx_and_4xx": all(s[0] in "24" for s in statuses)}


def stop_under_load(server: Server, expected: list[Prediction], clients: int) -> dict[str, Any]:
    """What the server says that it took, against what reached the clients; connections that ended are counted."""
    answered: dict[str, int] = {}
    ended: Counter[str] = Counter()
    code: list[int] = []

    async def client(number: int) -> None:
        connection = Connection(server.address)
        for count in range(100_000):
            body = json.dumps({"inputs": expected[(number * 37 + count) % len(expected)].question}).encode()
            name = f"end-{number}-{count}"
            try:
                answered[name] = (await connection.post("/classify", body, name)).status
            except OSError as error:
                ended[str(error) if type(error) is ConnectionError else type(error).__name__] += 1
                return

    async def whole() -> None:
        running = asyncio.ensure_future(in_parallel(clients, client))
        await asyncio.sleep(3)
        code.append(await asyncio.to_thread(server.stop))
        await running

    asyncio.run(whole())
    return {
        "clients": clients,
        "exit_code": code[0],
        "taken": len(server.requests),
        "answered": len(answered),
        "lost": sum(name not in answered for name in server.requests),
        "statuses": dict(Counter(map(str, answered.values()))),
        "connections_that_ended": dict(ended),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32"])
    parser.add_argument("--seconds", type=float, default=60, help="at each number of clients")
    parser.add_argument("--minutes", type=float, default=30, help="of the mix")
    parser.add_argument("--fuzzed", type=int, default=2000)
    parser.add_argument("--output", default="serving.json", help="in benchmarks/results")
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"

    texts = [json.loads(line)["question"] for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    classifier = load_predictor(arguments.model, LabelSet(MMLU_PRO_LABELS), compute=Compute(dtype=arguments.dtype))
    expected = classifier.classify(texts)
    before = offline_rate(classifier, texts, arguments.seconds)
    server = Server(arguments.model, arguments.dtype)
    throughput = [load(server, expected, clients, arguments.seconds) for clients in CLIENTS]
    throughput.append(load(server, expected, LISTS[0], arguments.seconds, LISTS[1]))
    # Now, and not at the end: a mix of half an hour is often not alone on its machine.
    after = offline_rate(classifier, texts, arguments.seconds)
    few = offline_rate(classifier, texts, arguments.seconds, max(CLIENTS))
    mixed = mix(server, expected, arguments.minutes)
    fuzzed = fuzz(server, arguments.fuzzed)
    stopped = stop_under_load(server, expected, max(CLIENTS))
    offline = (before + after) / 2
    for row in throughput:
        row["of_offline"] = row["questions_per_second"] / offline

    result = {
        "command": " ".join(["python", "benchmarks/serving.py", *sys.argv[1:]]),
        "questions": len(texts),
        "offline_questions_per_second": {"before": before, "after": after, f"in_lists_of_{max(CLIENTS)}": few},
        "load": throughput,
        "mix": mixed,
        "fuzzed": fuzzed,
        "sigterm": stopped,
        "log_events": dict(server.events),
        "versions": library_versions(),
        "machine": machine_description(),
    }
    write_results(arguments.output, result)
    print(f"offline: {before:.1f} questions/s before, {after:.1f} after, {few:.1f} in lists of {max(CLIENTS)}")
    rows = [
        [
            str(row["clients"]),
            str(row["questions_at_a_time"]),
            f"{row['questions_per_second']:.1f}",
            f"{row['of_offline']:.0%}",
            f"{1000 * row['seconds']['p50']:.0f}",
            f"{1000 * row['seconds']['p99']:.0f}",
            str(row["statuses"]),
        ]
        for row in throughput
    ]
    print(table(["clients", "at a time", "questions/s", "of offline", "p50 ms", "p99 ms", "statuses"], rows))
    print(json.dumps({"mix": mixed, "fuzzed": fuzzed, "sigterm": stopped}, indent=2))


if __name__ == "__main__":
    main()
