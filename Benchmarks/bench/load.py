"""One measurement: the load generator against one server, with what the server spent on it."""
import contextlib
import json
import subprocess
import tempfile

from .places import Unavailable


class Generator:
    """peers/load.c, and how long it runs each time."""

    def __init__(self, program, seconds, warm_up):
        self.program, self.seconds, self.warm_up = program, seconds, warm_up

    def command(self, server, case, connections, *, threads=1, unix=False, share=False, seconds=None, expect=None, more=()):
        target = ["--unix", server.unix] if unix else ["--port", server.port]
        words = [
            self.program, *target, "--path", case.path, "--body", case.file, "--connections", connections, "--threads", threads,
            "--seconds", self.seconds if seconds is None else seconds, "--warm-up", self.warm_up, *more]
        if share:
            words += ["--share", 1]
        if expect:
            words += ["--expect", expect]
        return list(map(str, words))

    def run(self, server, case, connections, **options):
        """-> the generator's figures, and `cpu_us`, `faults` and `client_share` of the whole run."""
        with server.sharing_a_processor() if case.on_one_processor else contextlib.nullcontext():
            return self._run(server, case, connections, **options)

    def _run(self, server, case, connections, **options):
        limit = (options.get("seconds") or self.seconds) + self.warm_up + 120
        command = self.command(server, case, connections, **options)
        cpu, faults = server.usage()
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{server.name}, {case.name}: no end after {limit:.0f} s") from error
        cpu_after, faults_after = server.usage()
        if not result.stdout.strip():
            raise Unavailable(f"{server.name}, {case.name}: {result.stderr.strip()[:200]}")
        figures = json.loads(result.stdout)
        bad = figures["non_2xx"] + figures["broken"] + figures["wrong"]
        if result.returncode or bad > 0.001 * figures["all_requests"] + 1:
            raise Unavailable(
                f"{server.name}, {case.name}: {figures['non_2xx']} answers were no success, {figures['wrong']} wrong, "
                f"{figures['broken']} connections ended")
        if not figures["all_requests"]:
            raise Unavailable(f"{server.name}, {case.name}: no answer within {figures['all_seconds']:.1f} s")
        requests = figures["all_requests"]
        figures["cpu_us"] = 1e6 * (cpu_after - cpu) / requests
        figures["faults"] = (faults_after - faults) / requests
        figures["client_share"] = 100 * figures["client_cpu_s"] / figures["all_seconds"] / int(options.get("threads", 1))
        figures["errors"] = bad
        return figures


def expectation(folder, kept):
    """A file with the bytes that every right answer contains; None where there are none."""
    if not kept:
        return None
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".expect", delete=False) as file:
        file.write(",".join(map(str, kept)))
    return file.name
