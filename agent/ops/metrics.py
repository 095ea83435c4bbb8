"""The status document as figures for Prometheus. Imported only where they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

_STATES = (
    "offline",
    "connecting",
    "idle",
    "printing",
    "pausing",
    "paused",
    "resuming",
    "cancelling",
    "attention",
    "halted",
)
_COUNTERS = {
    "lines_sent": "Lines sent to the printer since the port was opened",
    "lines_acked": "Lines the printer has acknowledged since the port was opened",
    "resends": "Lines the printer asked for again since the port was opened",
    "timeouts": "Times the printer did not answer in time since the port was opened",
    "garbled": "Damaged answers since the port was opened",
    "reconnects": "Connections to the printer since the daemon started",
}
_HOST_GAUGES = {
    "cpu_c": ("cpu_temperature_celsius", "Temperature of the processor"),
    "memory_available_bytes": ("memory_available_bytes", "Memory that can still be had"),
    "memory_total_bytes": ("memory_total_bytes", "Memory of the machine"),
    "disk_free_bytes": ("disk_free_bytes", "Free room on the disk of the state directory"),
    "disk_total_bytes": ("disk_total_bytes", "Size of the disk of the state directory"),
    "load": ("load1", "Mean load of the last minute"),
    "is_under_voltage": ("under_voltage", "1 while the supply voltage is too low"),
    "throttled": ("throttled_bits", "The Raspberry Pi firmware's get_throttled bits"),
    "is_clock_set": ("clock_synchronised", "1 while the clock is disciplined"),
}


def render(status: Mapping[str, Any]) -> bytes:
    """Return the figures in Prometheus' text format, each labelled with the unit's id."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry)


class _StatusCollector(Collector):
    """Turns one status document into metrics."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status
        self._unit = str(status["unit"]["id"])

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family once."""
        unit = self._status["unit"]
        yield InfoMetricFamily(
            "fabunit",
            "The running daemon",
            {"unit": self._unit, "name": unit["name"], "version": unit["version"]},
        )
        yield self._gauge("fabunit_uptime_seconds", "Seconds since the daemon started", unit["uptime_s"])
        yield from self._printer()
        yield from self._queue()
        yield from self._link()
        yield from self._host()

    def _printer(self) -> Iterator[Metric]:
        printer = self._status["printer"]
        state = GaugeMetricFamily(
            "fabunit_printer_state", "1 for the present state", labels=("unit", "state")
        )
        for name in _STATES:
            state.add_metric((self._unit, name), float(printer["state"] == name))
        yield state
        for key, text in (("actual", "Measured temperature"), ("target", "Wanted temperature")):
            family = GaugeMetricFamily(f"fabunit_heater_{key}_celsius", text, labels=("unit", "heater"))
            for heater, values in printer["temperatures"].items():
                family.add_metric((self._unit, heater), values[key])
            yield family
        for key, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"fabunit_port_{key}", text, labels=("unit",))
            counter.add_metric((self._unit,), printer["health"][key])
            yield counter
        latency = GaugeMetricFamily(
            "fabunit_port_answer_seconds", "Time from a line to its ok", labels=("unit", "quantile")
        )
        latency.add_metric((self._unit, "0.5"), printer["health"]["ok_p50_ms"] / 1000)
        latency.add_metric((self._unit, "0.99"), printer["health"]["ok_p99_ms"] / 1000)
        yield latency
        yield from self._progress(printer["progress"])

    def _progress(self, progress: Mapping[str, Any] | None) -> Iterator[Metric]:
        if progress is None:
            return
        yield self._gauge(
            "fabunit_print_fraction", "Share of the running print that is done", progress["fraction"]
        )
        yield self._gauge(
            "fabunit_print_elapsed_seconds", "Time the running print has taken", progress["elapsed_s"]
        )
        if progress["remaining_s"] is not None:
            yield self._gauge(
                "fabunit_print_remaining_seconds", "Time it still needs", progress["remaining_s"]
            )
        if progress["layer"] is not None:
            yield self._gauge("fabunit_print_layer", "Layer that is printed", progress["layer"])

    def _queue(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("fabunit_jobs", "Jobs that are not over, by state", labels=("unit", "state"))
        for name, count in self._status["queue"]["counts"].items():
            jobs.add_metric((self._unit, name), count)
        yield jobs
        yield self._gauge("fabunit_bed_clear", "1 while the bed is clear", self._status["bed"] == "clear")
        yield self._gauge("fabunit_warnings", "Warnings the status shows", len(self._status["warnings"]))

    def _link(self) -> Iterator[Metric]:
        link = self._status["link"]
        if link is None:
            return
        yield self._gauge(
            "fabunit_link_online", "1 while connected to the coordinator", link["state"] == "online"
        )
        yield self._gauge(
            "fabunit_link_events_waiting", "Events the coordinator lacks", link["events_waiting"]
        )

    def _host(self) -> Iterator[Metric]:
        host = self._status["host"] or {}
        for key, (name, text) in _HOST_GAUGES.items():
            if host.get(key) is not None:
                yield self._gauge(f"fabunit_host_{name}", text, host[key])

    def _gauge(self, name: str, text: str, value: float | bool) -> Metric:  # noqa: FBT001 - a figure
        family = GaugeMetricFamily(name, text, labels=("unit",))
        family.add_metric((self._unit,), float(value))
        return family
