"""A site and its workers on Celery, which keeps its queues, what is not acknowledged and its results in Redis: queue_celery.py <port> <folder>

The workers run this file as well: python3 -m celery -A queue_celery worker.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

from celery import Celery, chain, chord, group

PORT = int(os.environ.get("QUEUE_PORT") or sys.argv[1])
FOLDER = pathlib.Path(os.environ.get("QUEUE_FOLDER") or sys.argv[2])
URL = f"redis://127.0.0.1:{PORT}"

app = Celery("queue_celery", broker=f"{URL}/1", backend=f"{URL}/2")
app.conf.update(
    # What a worker that died had not done is given to another after two seconds.
    broker_transport_options={"visibility_timeout": 2, "unacked_restore_limit": 10, "priority_steps": [0, 5, 9]},
    task_acks_late=True, worker_prefetch_multiplier=1, result_expires=600, broker_connection_retry_on_startup=True,
)  # fmt: skip


@app.task
def add(a, b):
    return a + b


@app.task
def once(number):
    """Says that it ran: a file per run."""
    (FOLDER / f"once-{number}-{time.monotonic_ns()}").touch()
    return number


@app.task(bind=True, max_retries=5)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def failing():
    raise ValueError("no such order")


@app.task
def stamp():
    return time.time()


@app.task
def slow_first():
    """The worker that runs it first is killed in the middle."""
    with open(FOLDER / "slow", "a") as file:
        file.write(f"{os.getpid()} {os.getppid()}\n")
    if len((FOLDER / "slow").read_text().splitlines()) == 1:
        time.sleep(60)
    return "done by another"


def start_worker(name):
    return subprocess.Popen(
        [sys.executable, "-B", "-m", "celery", "-A", "queue_celery", "worker", "-n", name, "-P", "solo", "--loglevel", "WARNING"],
        cwd=pathlib.Path(__file__).parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(FOLDER / f"{name}.log", "w"),
        env={**os.environ, "QUEUE_PORT": str(PORT), "QUEUE_FOLDER": str(FOLDER), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def run():
    assert add.delay(2, 3).get(timeout=60) == 5
    assert chain(add.s(1, 2), add.s(10))().get(timeout=60) == 13
    assert group(add.s(n, n) for n in range(10))().get(timeout=60) == [2 * n for n in range(10)]
    # A chord counts its parts in the server, and the last of them starts the body.
    assert chord([add.s(n, 1) for n in range(10)])(tsum.s()).get(timeout=60) == 55
    assert third_time.delay().get(timeout=60) == 2
    try:
        failing.delay().get(timeout=60)
        raise AssertionError("no error")
    except ValueError as error:
        assert str(error) == "no such order"
    asked = time.time()
    assert stamp.apply_async(countdown=0.5).get(timeout=60) - asked >= 0.5
    results = [once.apply_async((number,), priority=(0, 5, 9)[number % 3]) for number in range(60)]
    assert [result.get(timeout=60) for result in results] == list(range(60))
    assert sorted(int(path.name.split("-")[1]) for path in FOLDER.glob("once-*")) == list(range(60))
    revoked = once.apply_async((1000,), countdown=2)
    revoked.revoke()
    revoked.forget()
    assert len(app.control.inspect(timeout=10).ping() or {}) >= 1  # a broadcast, and what the workers answer


@app.task
def tsum(numbers):
    return sum(numbers)


def run_with_a_worker_that_dies(workers):
    result = slow_first.delay()
    while not (FOLDER / "slow").exists() or not (FOLDER / "slow").read_text().endswith("\n"):
        time.sleep(0.02)
    killed = int((FOLDER / "slow").read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    assert killed in [worker.pid for worker in workers]
    # The others look for such messages every 100 s, and a new one when it starts.
    time.sleep(2.5)
    workers.append(start_worker("three"))
    assert result.get(timeout=60) == "done by another"


def main():
    workers = [start_worker("one"), start_worker("two")]
    try:
        run()
        run_with_a_worker_that_dies(workers)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    assert not list(FOLDER.glob("once-1000-*"))
    print("queue ok")


if __name__ == "__main__":
    main()
