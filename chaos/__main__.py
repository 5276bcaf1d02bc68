"""python -m chaos: a long run by hand or by `make chaos`; exit status 1 where something does not hold."""

import argparse
import asyncio
import json
import logging
import random
import signal
import sys
from pathlib import Path

from chaos import report
from chaos.run import perform
from chaos.stage import staged
from stack.places import HOME, ROOT

FIGURES = ROOT / "build" / "chaos.json"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    options.add_argument("--seed", type=int, default=random.randrange(10**6), help="the order of faults (default: any)")
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--rate", type=float, default=50.0, help="operations a second (default: %(default)s)")
    options.add_argument(
        "--replicas", type=int, default=3, help="of every role of every service (default: %(default)s)"
    )
    options.add_argument("--rest", type=float, default=300.0, help="seconds until all must be at rest")
    options.add_argument("--publish", action="store_true", help="only put the last figures into docs/ and the README")
    given = options.parse_args()
    if given.publish:
        report.publish(json.loads(FIGURES.read_text()))
        return 0
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # which complains of every fault
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # not before everything started here is ended too
    print(f"chaos with --seed {given.seed}", flush=True)
    with staged(Path(HOME / "chaos"), given.replicas) as stage:
        outcome = asyncio.run(
            perform(
                stage,
                seed=given.seed,
                minutes=given.minutes,
                rate=given.rate,
                rest_s=given.rest,
                say=lambda said: print(said, flush=True),
            )
        )
    figures = {"replicas": given.replicas, **outcome.figures()}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    report.show(outcome)
    return 0 if not outcome.faults else 1


if __name__ == "__main__":
    sys.exit(main())
