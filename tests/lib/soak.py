"""tests/soak's work: rounds of a storm until the time is over. Arguments: seconds, seed, report."""
import itertools
import random
import sys
import time

import storm
import tap

ROUND = 300  # seconds of blows, then the audit of all that the round committed


def play(scene, seed, until):
    current = storm.Round(scene, seed)
    blows, weights = zip(*storm.WEIGHTS.items())
    with current.case.writing(persist=True):
        current.case.process.wait_running()
        while time.monotonic() < until:
            current.blow(current.dice.choices(blows, weights)[0])
            if current.case.complaints:  # the rest would only bury it
                break
    current.judge()
    return current


def main():
    seconds, seed, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    scene, report = storm.Scene(), storm.Report()
    dice = random.Random(seed)
    end = time.monotonic() + seconds
    for _ in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
        report.add(play(scene, dice.randrange(10**9), min(end, time.monotonic() + ROUND)))
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in report.lines())
        tap.diag(*(line + "\n" for line in report.lines()))
    tap.done_testing()


main()
