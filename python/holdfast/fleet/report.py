"""Snapshots of several processes as one, and the report that is made of it: counts, rates, latencies.

Histograms travel as buckets: the longest duration of each, in microseconds, and how many fell into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.fleet.plan import Plan

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
UNREACHABLE = {"connection_refused", "connect_timeout", "unreachable"}
Record = dict[str, Any]


def merge(snapshots: Sequence[Mapping[str, Any]]) -> Record:
    """What all processes together have done. Every snapshot has the same crowds in the same order."""
    return {
        "elapsed_seconds": max(one["elapsed_seconds"] for one in snapshots),
        "cpu_seconds": sum(one["cpu_seconds"] for one in snapshots),
        "crowds": [_merged(list(parts)) for parts in zip(*(one["crowds"] for one in snapshots), strict=True)],
    }


def _merged(parts: list[Any]) -> Any:  # noqa: ANN401 (numbers, lists and tables, as JSON has them)
    """Numbers add up, tables and lists member by member; buckets by their ends, the longest by being longest."""
    first = parts[0]
    if isinstance(first, int | float):
        return sum(parts)
    if isinstance(first, list):
        longest = max(map(len, parts))
        return [_merged([part[index] for part in parts if index < len(part)]) for index in range(longest)]
    if "buckets" in first:
        return _merged_histograms(parts)
    names = dict.fromkeys(name for part in parts for name in part)
    merged = {name: _merged([part[name] for part in parts if name in part]) for name in names}
    if "elapsed_us" in merged:
        merged["elapsed_us"] = max(part["elapsed_us"] for part in parts)
    return merged


def _merged_histograms(parts: list[Any]) -> Record:
    buckets: dict[int, int] = {}
    for part in parts:
        for end, count in part["buckets"]:
            buckets[end] = buckets.get(end, 0) + count
    return {
        "count": sum(part["count"] for part in parts),
        "sum_us": sum(part["sum_us"] for part in parts),
        "max_us": max(part["max_us"] for part in parts),
        "buckets": [list(bucket) for bucket in sorted(buckets.items())],
    }


def quantile_us(histogram: Mapping[str, Any], quantile: float) -> int | None:
    """The duration that this share of all does not exceed, to 3 %; `None` of nothing."""
    wanted, seen = quantile * histogram["count"], 0
    for end, count in histogram["buckets"]:
        seen += count
        if seen >= wanted:
            return int(min(end, histogram["max_us"]))
    return None


def latency(histogram: Mapping[str, Any]) -> Record:
    """A histogram in milliseconds, as people read it, its buckets kept for those who want more."""
    count = histogram["count"]
    mean = {"mean_ms": _ms(histogram["sum_us"] / count), "max_ms": _ms(histogram["max_us"])} if count else {}
    quantiles = {f"{name}_ms": _ms(quantile_us(histogram, share)) for name, share in QUANTILES.items()} if count else {}
    return {"count": count, **mean, **quantiles, "buckets_us": histogram["buckets"]}


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def report(plan: Plan, merged: Mapping[str, Any], *, interrupted: bool, processes: int) -> Record:
    """The whole report: what was to be done, what was done, crowd by crowd."""
    return {
        "format": "holdfast-fleet-report",
        "version": 1,
        "plan": plan.record(),
        "processes": processes,
        "interrupted": interrupted,
        "elapsed_seconds": round(merged["elapsed_seconds"], 3),
        "client_cpu_seconds": round(merged["cpu_seconds"], 3),
        "crowds": [
            _crowd(crowd.name, crowd.misbehaviour, figures)
            for crowd, figures in zip(plan.crowds, merged["crowds"], strict=True)
        ],
    }


def _crowd(name: str, misbehaviour: str | None, figures: Mapping[str, Any]) -> Record:
    rounds = [_round(one) for one in figures["rounds"]]
    answered = sum(sum(one["outcomes"].values()) for one in rounds)
    return {
        "name": name,
        "misbehaviour": misbehaviour,
        "connections": answered,
        "connected": sum(one["outcomes"].get("connected", 0) for one in rounds),
        "as_expected": figures["as_expected"],
        "lost": figures["lost"],
        "open_max": figures["open_max"],
        "published": figures["published"],
        "acknowledged": figures["acknowledged"],
        "rounds": rounds,
        "acknowledgement": latency(figures["acknowledgement"]),
        "reaction": latency(figures["reaction"]),
        "schedule_lag": latency(figures["lag"]),
        "seconds": figures["seconds"],
    }


def _round(figures: Mapping[str, Any]) -> Record:
    seconds = figures["elapsed_us"] / 1e6
    connected = figures["total"]["count"]
    return {
        "started": figures["started"],
        "outcomes": figures["outcomes"],
        "resumed": figures["resumed"],
        "seconds": round(seconds, 3),
        "connected_per_second": round(connected / seconds, 1) if seconds else None,
        "connect": latency(figures["total"]),
        "tcp": latency(figures["dial"]),
        "tls": latency(figures["handshake"]),
        "answer": latency(figures["answer"]),
    }


def outcomes(figures: Mapping[str, Any]) -> dict[str, int]:
    """How the connections of a crowd ended up, all rounds together."""
    sums: dict[str, int] = {}
    for one in figures["rounds"]:
        for ending, count in one["outcomes"].items():
            sums[ending] = sums.get(ending, 0) + count
    return sums


def is_unreachable(merged: Mapping[str, Any], *, at_least: int = 1) -> bool:
    """Whether so many connections were tried and not one of them met anybody."""
    endings = [outcomes(crowd) for crowd in merged["crowds"]]
    tried = sum(sum(one.values()) for one in endings)
    return tried >= at_least and all(set(one) <= UNREACHABLE for one in endings)


def is_as_expected(merged: Mapping[str, Any]) -> bool:
    """Whether every connection ended as it should, and none that was let in was lost."""
    return all(
        crowd["as_expected"] == sum(outcomes(crowd).values()) > 0 and not crowd["lost"] for crowd in merged["crowds"]
    )
