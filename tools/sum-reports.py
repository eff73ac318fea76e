#!/usr/bin/env python3
"""Adds up the reports of one test run: tools/sum-reports.py FOLDER

FOLDER holds `<stage>.stage` ("ok" or "failed (status)"), `<stage>.seconds` and the xUnit files of swift-testing and pytest. A stage that has
no xUnit report counts as one test; one that has counts by its tests, and once more as failed if it ended badly although
no test of it failed (a crash, a time-out). The last line is `N passed, N failed`; exit status 1 if anything failed.
"""
import pathlib
import sys
import xml.etree.ElementTree

XUNIT = {"swift-testing": "swift*.xml", "swift-sockets": "sockets*.xml", "black-box": "pytest*.xml",
         "python-client": "client*.xml", "evaluation-scenes": "evaluation*.xml", "browser": "browser*.xml",
         "contract": "contract*.xml", "inference-clients": "inference-clients*.xml", "integrations": "integrations*.xml"}


def counts(path):
    """-> tests, failed, skipped of one xUnit file."""
    root = xml.etree.ElementTree.parse(path).getroot()
    tests = failed = skipped = 0
    for case in root.iter("testcase"):
        tests += 1
        failed += case.find("failure") is not None or case.find("error") is not None
        skipped += case.find("skipped") is not None
    return tests, failed, skipped


def main():
    folder = pathlib.Path(sys.argv[1])
    passed = failed = 0
    for stage in sorted(folder.glob("*.stage"), key=lambda path: path.stat().st_mtime):
        outcome = stage.read_text().strip()
        good, bad, note = 0, 0, ""
        for report in folder.glob(XUNIT.get(stage.stem, "-")):
            tests, failures, skipped = counts(report)
            good += tests - failures - skipped
            bad += failures
            note += f", {skipped} skipped" if skipped else ""
        if outcome == "ok":
            if stage.stem not in XUNIT:
                good += 1
            elif good == 0:
                bad, note = 1, ", no test ran"
        elif bad == 0:
            bad, note = 1, f", {outcome}"
        seconds = stage.with_suffix(".seconds")
        took = f"{seconds.read_text().strip():>5} s  " if seconds.exists() else ""
        print(f"{stage.stem:22} {took}{good} passed, {bad} failed{note}")
        passed += good
        failed += bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
