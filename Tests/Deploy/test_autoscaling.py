"""The simulation of the autoscaler against what Kubernetes documents and what can be reckoned by hand."""
import importlib.util
import random
import subprocess
import sys

import pytest
import yaml
from balancers import DEPLOY
from server import ROOT

SCRIPT = ROOT / "tools" / "autoscaling.py"
specification = importlib.util.spec_from_file_location("autoscaling", SCRIPT)
autoscaling = importlib.util.module_from_spec(specification)
sys.modules["autoscaling"] = autoscaling
specification.loader.exec_module(autoscaling)
Autoscaler, Replica, simulate = autoscaling.Autoscaler, autoscaling.Replica, autoscaling.simulate


def replicas_over_time(arrivals, replica, scaler):
    """-> the number of pods wanted after each second, by watching the fleet."""
    counts, scale = [], autoscaling.Fleet.scale

    class Watched(autoscaling.Fleet):
        def begin(self, now):
            counts.append(self.wanted)
            scale(self, self.wanted, now, 0)
            super().begin(now)
    original, autoscaling.Fleet = autoscaling.Fleet, Watched
    try:
        simulate(arrivals, replica, scaler)
    finally:
        autoscaling.Fleet = original
    return counts


@pytest.mark.parametrize("trace", autoscaling.TRACES)
@pytest.mark.parametrize("retries", [0, 3])
def test_every_request_is_answered_lost_or_still_waiting(trace, retries):
    arrivals = autoscaling.TRACES[trace](300, 5000)
    outcome = simulate(arrivals, Replica(), Autoscaler(maximum=8), retries=retries)
    assert outcome.offered == pytest.approx(sum(arrivals))
    assert outcome.answered + outcome.lost + outcome.waiting == pytest.approx(outcome.offered)


def test_random_arrivals_lose_nothing_to_the_model():
    draw = random.Random(5)
    for _ in range(20):
        arrivals = [draw.choice((0, 10, 500, 5000)) for _ in range(400)]
        outcome = simulate(arrivals, Replica(max_in_flight=draw.randint(1, 2000)), Autoscaler(maximum=draw.randint(2, 30)), retries=draw.randint(0, 3))
        assert outcome.answered + outcome.lost + outcome.waiting == pytest.approx(outcome.offered)


def test_a_load_at_the_target_changes_nothing_and_loses_nothing():
    """Two replicas of 500 requests a second, at 70 percent."""
    assert set(replicas_over_time([700] * 900, Replica(), Autoscaler())) == {2}
    outcome = simulate([700] * 900, Replica(), Autoscaler())
    assert (outcome.lost, outcome.waited, outcome.first_loss) == (0, 0, None)


def test_a_second_of_too_much_waits_as_long_as_the_rest_takes():
    """1000 a second are answered; of 1200, 200 wait for 200 / 1000 of a second, and of 2000 there is room for 2 x 256."""
    outcome = simulate([1200, 0], Replica(), Autoscaler())
    assert outcome.longest_wait == pytest.approx(0.2) and outcome.lost == 0
    outcome = simulate([2000, 0], Replica(), Autoscaler())
    assert outcome.refused == pytest.approx(2000 - 1000 - 512) and outcome.first_loss == 0


def test_what_waits_longer_than_the_timeout_is_lost():
    outcome = simulate([20_000] + [0] * 60, Replica(max_in_flight=10**6), Autoscaler())
    assert outcome.timed_out == pytest.approx(20_000 - 1000 - 5000) and outcome.longest_wait == pytest.approx(5)


def test_the_formula_is_that_of_kubernetes():
    """200m where 100m are wanted doubles, 50m halves, and within a tenth nothing happens (Horizontal Pod Autoscaling)."""
    for share, expected in ((0.2, 8), (0.05, 2), (0.109, 4), (0.091, 4), (0.111, 5)):
        controller = autoscaling.Controller(Autoscaler(target=0.1, minimum=1, maximum=100, metrics_delay=0, scale_down_window=0))
        controller.observe(share)
        assert controller.decide(autoscaling.Fleet(4), 0) == expected, share


def test_growth_is_late_by_the_metrics_and_at_most_doubles_or_adds_four():
    arrivals = [600] * 300 + [60_000] * 600
    scaler = Autoscaler(maximum=1000)
    counts = replicas_over_time(arrivals, Replica(), scaler)
    first = next(second for second, count in enumerate(counts) if count > 2)
    assert first > 300 + scaler.metrics_delay
    for before, after in zip(counts, counts[15:]):
        assert after <= max(before + 4, 2 * before)
    assert max(counts) >= 60_000 / 500


def test_fewer_replicas_come_only_after_five_minutes_of_less():
    arrivals = [2000] * 600 + [100] * 900
    counts = replicas_over_time(arrivals, Replica(), Autoscaler(maximum=20))
    assert counts[600] > 2 and min(counts[600:885]) >= counts[600] and counts[-1] == 2


def test_pods_answer_only_once_they_have_started():
    slow, fast = (simulate([600] * 300 + [6000] * 600, Replica(), Autoscaler(maximum=50, start=start)) for start in (120, 5))
    assert slow.lost > 2 * fast.lost > 0


def test_thousands_of_replicas():
    outcome = simulate(autoscaling.spike(300_000, 2_000_000), Replica(), Autoscaler(minimum=1000, maximum=8000))
    assert outcome.peak_replicas > 5000 and outcome.first_loss == 300
    enough = simulate(autoscaling.spike(300_000, 2_000_000), Replica(), Autoscaler(minimum=5715, maximum=8000))
    assert enough.lost == 0 and enough.seconds_queued == 0


def test_the_autoscaler_is_the_one_of_the_manifest():
    scaler = yaml.safe_load((DEPLOY / "kubernetes/base/autoscaling.yaml").read_text())["spec"]
    default = Autoscaler()
    assert (default.minimum, default.maximum) == (scaler["minReplicas"], scaler["maxReplicas"])
    assert default.target == scaler["metrics"][0]["resource"]["target"]["averageUtilization"] / 100
    assert default.scale_down_window == scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"]


def test_the_page_shows_what_the_simulation_says():
    page = (ROOT / "docs" / "capacity.md").read_text()
    said = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=120, check=True).stdout
    assert said in page, "run tools/autoscaling.py --markdown docs/capacity.md"


def test_a_trace_of_one_s_own_can_be_given(folder):
    (folder / "arrivals").write_text("100\n" * 60)
    said = subprocess.run([sys.executable, SCRIPT, "--arrivals", folder / "arrivals"], capture_output=True, text=True, timeout=60, check=True)
    assert "| arrivals | 6000 | 0 | 0 | - |" in said.stdout
