"""Records a server from outside, by its metrics page: ``python -m kvlens.scrape http://127.0.0.1:8000/metrics``."""

from __future__ import annotations

import argparse
import time
from typing import Any, Optional, Sequence

from ._session import Session


def scrape_url(url: str, out: str = "runs", engine: str = "vllm", **options: Any) -> Session:
    """Reads a metrics page at an interval until the session is closed; the Rust side does the reading.

    Only samples are recorded: a page knows no step and no request. Counters count from the first reading.
    """
    options.setdefault("tables", ["samples"])
    attributes = {**(options.pop("attributes", None) or {}), "metrics_url": url}
    return Session(out, engine=engine, scrape_url=url, attributes=attributes, **options)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="kvlens-scrape", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--out", default="runs")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between readings")
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long; otherwise on Ctrl-C")
    parser.add_argument("--format", action="append", choices=["parquet", "csv", "arrow"])
    given = parser.parse_args(arguments)
    with scrape_url(given.url, given.out, interval=given.interval, formats=given.format or ["parquet"]) as session:
        print(session.path, flush=True)
        try:
            if given.seconds is None:
                while True:
                    time.sleep(3600)
            time.sleep(given.seconds)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
