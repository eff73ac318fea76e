#!/usr/bin/env python3
"""Simulates replicas behind Kubernetes' autoscaler, and says when a request queues or is lost:

    tools/autoscaling.py                              all traces with one processor and 2 ms for a request
    tools/autoscaling.py --trace spike --peak 200000 --maximum 5000 --processor-ms 5
    tools/autoscaling.py --arrivals FILE              requests a second, one number a line, a second each
    tools/autoscaling.py --markdown docs/capacity.md  puts the tables where the page has its marks

A fluid model in steps of a second: requests are amounts, spread evenly over the replicas that are ready, as `leastconn` and
`LEAST_REQUEST` do. A replica answers processors / time of them a second; what is more waits in its queue, up to max-in-flight, and
what is beyond that is rejected with 429 (`--retries` sends it again, a second later). A request that waits longer than the
compute timeout is lost, too. The autoscaler acts as Kubernetes documents it ("Horizontal Pod Autoscaling", algorithm and scaling
policies): every sync period it asks for ceil(replicas x usage / target), where usage is the mean of the last metric window and
as late as the metrics are; within a tolerance it does nothing; upwards at most +100 % or +4 in 15 s, downwards only to
the highest wish of the last five minutes. A new pod takes until it is scheduled, pulled, started and ready; a pod that goes takes
requests until its endpoints are gone and finishes what it has: it rejects nothing. What is not modelled: requests of different
size, nodes that have to be bought first (add their time to --start), and balancers that spread badly.

Needs nothing but Python 3.
"""
import argparse
import collections
import dataclasses
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Replica:
    processors: float = 1
    processor_seconds: float = 0.002
    max_in_flight: int = 256
    compute_timeout: float = 5

    @property
    def rate(self):
        """-> requests a second that it answers at most."""
        return self.processors / self.processor_seconds


@dataclasses.dataclass(frozen=True)
class Autoscaler:
    """The HorizontalPodAutoscaler of deploy/kubernetes/base, with Kubernetes' defaults for the rest."""
    target: float = 0.7
    minimum: int = 2
    maximum: int = 10
    sync: int = 15
    tolerance: float = 0.1
    # The kubelet's and the metrics server's windows and the scrape between them.
    metrics_window: int = 30
    metrics_delay: int = 15
    scale_down_window: int = 300
    # Pods, percent and period of the default policies for scaling up; the larger change wins.
    up_pods: int = 4
    up_percent: float = 100
    up_period: int = 15
    # From the decision to the first request: scheduling, the image, the start, the first probe.
    start: int = 10


@dataclasses.dataclass
class Outcome:
    """What became of a trace. Requests are amounts."""
    offered: float = 0
    answered: float = 0
    refused: float = 0
    timed_out: float = 0
    waited: float = 0
    # Seconds in which the average wait was above a tenth of a second.
    seconds_queued: int = 0
    longest_wait: float = 0
    peak_replicas: int = 0
    replica_seconds: float = 0
    first_loss: int | None = None
    waiting: float = 0

    @property
    def lost(self):
        return self.refused + self.timed_out


class Fleet:
    """Pods that start, are ready, or are about to go, and the queue that they share."""

    def __init__(self, count):
        self.ready = count
        self.starting = collections.deque()

    @property
    def wanted(self):
        return self.ready + len(self.starting)

    def begin(self, now):
        while self.starting and self.starting[0] <= now:
            self.starting.popleft()
            self.ready += 1

    def scale(self, wanted, now, start):
        for _ in range(wanted - self.wanted):
            self.starting.append(now + start)
        while self.wanted > wanted:
            # Kubernetes takes those away first that are not ready yet.
            if self.starting:
                self.starting.pop()
            else:
                self.ready -= 1


class Controller:
    """The autoscaler's memory: usage as it was, wishes as they were, changes as they were made."""

    def __init__(self, settings):
        self.settings = settings
        self.usage = collections.deque(maxlen=settings.metrics_window + settings.metrics_delay)
        self.wishes = collections.deque()
        self.ups = collections.deque()

    def observe(self, share):
        self.usage.append(share)

    def measured(self):
        """-> the mean share of the processors in use, over a window that ended some time ago; None before there is one."""
        seen = list(self.usage)[:-self.settings.metrics_delay or None]
        return sum(seen) / len(seen) if seen else None

    def decide(self, fleet, now):
        settings, current = self.settings, fleet.wanted
        share = self.measured()
        if share is None or fleet.ready == 0:
            return current
        ratio = share / settings.target
        # Pods that are not ready count as idle when more are wanted, and not at all otherwise.
        if ratio > 1:
            ratio = ratio * fleet.ready / current
        wish = current if abs(ratio - 1) <= settings.tolerance else math.ceil(current * ratio - 1e-9)
        wish = min(max(wish, settings.minimum), settings.maximum)
        self.wishes.append((now, wish))
        while self.wishes[0][0] < now - settings.scale_down_window:
            self.wishes.popleft()
        if wish < current:
            return min(max(one for _, one in self.wishes), current)
        while self.ups and self.ups[0][0] <= now - settings.up_period:
            self.ups.popleft()
        before = self.ups[0][1] if self.ups else current
        limit = max(before + settings.up_pods, math.ceil(before * (1 + settings.up_percent / 100)))
        decided = min(wish, limit)
        if decided > current:
            self.ups.append((now, current))
        return decided


def simulate(arrivals, replica, scaler, initial=None, retries=0):
    """-> what becomes of `arrivals`, requests for each second.

    `retries`: how often a rejected request is sent again, each time a second later.
    """
    fleet, controller, outcome = Fleet(initial or scaler.minimum), Controller(scaler), Outcome()
    queue, again = 0.0, [0.0] * retries
    for now, new in enumerate(arrivals):
        fleet.begin(now)
        capacity = fleet.ready * replica.rate
        offered = new + sum(again)
        outcome.offered += new
        served = min(queue + offered, capacity)
        left = queue + offered - served
        # A second's requests that are computed at once do not wait: room is what in-flight allows, and what the second computes.
        room = fleet.ready * replica.max_in_flight
        refused = max(0.0, left - room)
        queue = left - refused
        # First come, first served: what stands behind more than the timeout's worth of work will not be computed in time.
        late = max(0.0, queue - capacity * replica.compute_timeout)
        queue -= late
        outcome.timed_out += late
        share = offered and refused / offered
        again, gone = shifted(again, new, share)
        outcome.refused += gone
        outcome.answered += served
        wait = queue / capacity if capacity else math.inf
        outcome.waited += served * wait
        outcome.seconds_queued += wait > 0.1
        outcome.longest_wait = max(outcome.longest_wait, wait)
        if outcome.first_loss is None and gone + late > 1e-9:
            outcome.first_loss = now
        outcome.peak_replicas = max(outcome.peak_replicas, fleet.wanted)
        outcome.replica_seconds += fleet.wanted
        controller.observe(served / capacity if capacity else 0)
        if now % scaler.sync == 0:
            fleet.scale(controller.decide(fleet, now), now, scaler.start)
    outcome.waiting = queue + sum(again)
    return outcome


def shifted(again, new, share):
    """-> requests that will be sent again, by the number of tries they have left, and those that are given up.

    `again[i]`: those with i tries left after this one; a `share` of everything was rejected.
    """
    if not again:
        return [], new * share
    return [one * share for one in again[1:]] + [new * share], again[0] * share


# Requests a second, for each second. Each trace begins at a base that the least number of replicas serves.
def ramp(base, peak, seconds=1800):
    """Evenly up for ten minutes."""
    return [base + (peak - base) * min(1, second / 600) for second in range(seconds)]


def spike(base, peak, seconds=1200):
    """From one second to the next, for five minutes."""
    return [peak if 300 <= second < 600 else base for second in range(seconds)]


def day(base, peak, seconds=86_400):
    """A sine of a day, with a peak of a minute in each hour."""
    return [(base + (peak / 2 - base) * (1 - math.cos(2 * math.pi * second / seconds)) / 2) * (2 if second % 3600 < 60 else 1)
            for second in range(seconds)]


def bursts(base, peak, seconds=1800):
    """Ten seconds in each minute."""
    return [peak if second % 60 < 10 else base for second in range(seconds)]


TRACES = {trace.__name__: trace for trace in (ramp, spike, bursts, day)}


def row(name, outcome, seconds):
    def percent(amount):
        return f"{100 * amount / outcome.offered:.3g} %" if amount > 1e-9 else "0"
    lost_from = "-" if outcome.first_loss is None else f"{outcome.first_loss} s"
    return [name, f"{outcome.offered:.4g}", percent(outcome.refused), percent(outcome.timed_out), lost_from,
            f"{outcome.seconds_queued} s", f"{outcome.longest_wait:.2g} s", str(outcome.peak_replicas),
            f"{outcome.replica_seconds / seconds:.3g}"]


HEADER = ["trace", "requests", "rejected (429)", "timed out", "first lost at", "waiting > 0.1 s", "longest wait", "most replicas",
          "replicas on average"]


def table(rows):
    return "\n".join(["| " + " | ".join(line) + " |" for line in ([HEADER, ["---"] * len(HEADER)] + rows)]) + "\n"


def scenarios(given):
    """-> (title, rows): the same traces with as few replicas as the base, with some in hand, and with retries."""
    replica = Replica(given.processors, given.processor_ms / 1000, given.max_in_flight)
    base = given.base or replica.rate * given.minimum * given.target * 0.9
    peak = given.peak or base * 10
    for title, changes, retries, initial in (
            ("as configured", {}, 0, None),
            ("clients that try again three times", {}, 3, None),
            ("replicas for the peak from the beginning", {"minimum": math.ceil(peak / replica.rate / given.target)}, 0, None),
            ("a start of 60 s (a new node)", {"start": 60}, 0, None)):
        scaler = Autoscaler(**{"target": given.target, "minimum": given.minimum, "maximum": given.maximum, "start": given.start, **changes})
        scaler = dataclasses.replace(scaler, maximum=max(scaler.maximum, scaler.minimum))
        rows = []
        for name in ([given.trace] if given.trace else TRACES):
            arrivals = TRACES[name](base, peak)
            rows.append(row(name, simulate(arrivals, replica, scaler, initial, retries or given.retries), len(arrivals)))
        yield f"{title}: {base:.4g} to {peak:.4g} requests a second", rows


def replace_marked(path, text):
    """Puts `text` between the marks of a page."""
    begin, end = "<!-- autoscaling: begin -->\n", "<!-- autoscaling: end -->\n"
    page = path.read_text()
    assert page.count(begin) == page.count(end) == 1, f"{path} has no marks"
    path.write_text(page.split(begin)[0] + begin + text + end + page.split(end)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", choices=TRACES)
    parser.add_argument("--arrivals", type=pathlib.Path)
    parser.add_argument("--base", type=float, help="requests a second; default: nine tenths of the target of the least replicas")
    parser.add_argument("--peak", type=float, help="requests a second; default: ten times the base")
    parser.add_argument("--processors", type=float, default=1)
    parser.add_argument("--processor-ms", type=float, default=2)
    parser.add_argument("--max-in-flight", type=int, default=256)
    parser.add_argument("--target", type=float, default=0.7)
    parser.add_argument("--minimum", type=int, default=2)
    parser.add_argument("--maximum", type=int, default=100)
    parser.add_argument("--start", type=int, default=10)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--markdown", type=pathlib.Path)
    given = parser.parse_args()
    if given.arrivals:
        arrivals = [float(line) for line in given.arrivals.read_text().split()]
        replica = Replica(given.processors, given.processor_ms / 1000, given.max_in_flight)
        scaler = Autoscaler(target=given.target, minimum=given.minimum, maximum=given.maximum, start=given.start)
        sys.stdout.write(table([row(given.arrivals.name, simulate(arrivals, replica, scaler, retries=given.retries), len(arrivals))]))
        return
    text = "".join(f"\n**{title}**\n\n{table(rows)}" for title, rows in scenarios(given))
    sys.stdout.write(text)
    if given.markdown:
        replace_marked(given.markdown, text + "\n")


if __name__ == "__main__":
    main()
