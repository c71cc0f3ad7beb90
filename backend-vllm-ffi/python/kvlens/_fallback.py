"""Coarser ways to read an engine, for when its own statistics can't be had: each pushes a metrics page."""

from __future__ import annotations

import sys
import urllib.request
import weakref
from typing import Any, Callable, Dict, Iterable, List, Optional

from . import _native as native
from ._session import Session


class Fallback:
    """Pushes what a function gives as a metrics page."""

    def __init__(self, name: str, origin: int, page: Callable[[], str]) -> None:
        self.name = name
        self.origin = origin
        self.page = page

    def push(self, session: Session) -> None:
        """Reads a page and pushes it."""
        session.collector.push_page(self.page(), self.origin)


def _labels(labels: Dict[str, str]) -> str:
    def quote(value: str) -> str:
        return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{key}="{quote(value)}"' for key, value in labels.items()) + "}"


def page_of_metrics(metrics: Iterable[Any]) -> str:
    """The list of ``LLM.get_metrics()`` as a metrics page."""
    lines: List[str] = []
    for metric in metrics:
        labels = dict(getattr(metric, "labels", None) or {})
        kind = type(metric).__name__
        if kind == "Counter":
            lines.append(f"{metric.name}_total{_labels(labels)} {metric.value}")
        elif kind == "Gauge":
            lines.append(f"{metric.name}{_labels(labels)} {metric.value}")
        elif kind == "Histogram":
            for bound, count in metric.buckets.items():
                lines.append(f"{metric.name}_bucket{_labels({**labels, 'le': bound})} {count}")
            lines.append(f"{metric.name}_sum{_labels(labels)} {metric.sum}")
            lines.append(f"{metric.name}_count{_labels(labels)} {metric.count}")
    return "\n".join(lines) + "\n"


def registry_page() -> str:
    """The process's Prometheus registry as a metrics page."""
    client = sys.modules.get("prometheus_client")
    if client is None:
        raise RuntimeError("this process has no Prometheus registry")
    page: str = client.generate_latest(client.REGISTRY).decode()
    return page


def url_page(url: str, timeout: float = 5.0) -> str:
    """A metrics page over HTTP."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        page: str = answer.read().decode("utf-8", "replace")
    return page


def fallbacks_of(engine: Any, url: Optional[str]) -> List[Fallback]:
    """The ways in the order in which they are tried."""
    found = []
    # Not to keep the engine alive.
    reference = weakref.ref(engine)

    def get_metrics_page() -> str:
        alive = reference()
        if alive is None:
            raise RuntimeError("the engine is gone")
        return page_of_metrics(alive.get_metrics())

    if hasattr(engine, "get_metrics"):
        found.append(Fallback("get_metrics", native.ORIGIN_GET_METRICS, get_metrics_page))
    found.append(Fallback("prometheus_registry", native.ORIGIN_PROMETHEUS_REGISTRY, registry_page))
    if url:
        found.append(Fallback("metrics_url", native.ORIGIN_METRICS_URL, lambda: url_page(url)))
    return found


def baseline(session: Session) -> None:
    """Remembers what the registry says now, so that a page that comes after a gap says what the gap held."""
    try:
        page = registry_page()
        if "vllm" in page:
            session.collector.push_page(page, native.ORIGIN_PROMETHEUS_REGISTRY, baseline=True)
    except Exception:
        # Without it the first page is the baseline.
        pass
