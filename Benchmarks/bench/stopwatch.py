"""How Python functions are timed."""
import statistics
import time


def timed(function, repeats):
    """-> figures of one round of a function, after one call that warms up."""
    function()
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return {"seconds": times, "median_s": statistics.median(times), "best_s": min(times), "result": result}
