"""A writer that is killed at any moment loses nothing that was committed, and doubles nothing."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

from keepwell import Memory

WRITER = """
import json, sys
from keepwell import Memory, Message
with Memory.open(sys.argv[1], embedder=None, tenant="crash") as memory:
    chat = memory.scope(user_id="ada").thread("t")
    number = int(sys.argv[2])
    while True:
        batch = [Message.user(f"message {n}", id=f"m{n}") for n in range(number, number + 1 + number % 3)]
        chat.append(*batch)
        number += len(batch)
        print(json.dumps(number), flush=True)
"""


def write_until_killed(dsn: str, number: int, seconds: float) -> int:
    """Start a writer at a number, kill it after some seconds, and give the first number it did not acknowledge."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), dsn, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it is at work from here on
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        said = [first, *writer.stdout.readlines()]
    whole = [line for line in said if line.endswith("\n")]
    return int(json.loads(whole[-1]))


def test_a_killed_writer_loses_and_doubles_nothing(dsn: str, proof: bool) -> None:
    """All that was acknowledged is there, in order and once; a batch is there whole or not at all; ids go on."""
    chance = random.Random(7)
    number = 0
    with Memory.open(dsn, embedder=None, tenant="crash") as memory:
        chat = memory.scope(user_id="ada").thread("t")
        for _ in range(200 if proof else 12):
            number = write_until_killed(dsn, number, chance.uniform(0.0, 0.05))
            ids = [message.id for message in chat.iterate()]
            assert ids[:number] == [f"m{n}" for n in range(number)]
            assert len(ids) == len(set(ids))
            assert len(ids) - number in (0, 1 + number % 3)  # the batch in flight was committed, or was not
        assert [message.seq for message in chat.iterate()] == list(range(1, len(ids) + 1))
