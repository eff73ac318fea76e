"""That nothing in deploy/ goes untested, and that each way of running is found from the README."""
import pathlib
import re

from balancers import DEPLOY
from server import ROOT


def test_every_file_of_deploy_is_named_by_a_test():
    """test_kubernetes.py takes all of deploy/kubernetes and checks by itself that it does."""
    here = pathlib.Path(__file__)
    tests = "".join(path.read_text() for path in here.parent.glob("*.py") if path != here)
    unnamed = [str(path) for path in DEPLOY.rglob("*")
               if path.is_file() and "kubernetes" not in path.parts and not re.search(rf"\b{re.escape(path.name)}\b", tests)]
    assert unnamed == []


def test_the_readme_links_each_way_of_running():
    page, readme = (ROOT / "docs" / "deploy.md").read_text(), (ROOT / "README.md").read_text()
    ways = {re.sub(r"[^a-z0-9 ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.*)", page, re.MULTILINE)}
    linked = set(re.findall(r"\(docs/deploy\.md#([a-z0-9-]+)\)", readme))
    assert ways == linked
    inside = set(re.findall(r"\(#([a-z0-9-]+)\)", page))
    assert inside == ways


def test_pages_link_only_files_of_deploy_that_are_there():
    for path in ("README.md", "docs/deploy.md", "docs/runbook.md", "docs/operations.md", "docs/capacity.md"):
        text = (ROOT / path).read_text()
        for link in re.findall(r"\]\(([^)#]*deploy/[^)#]*)", text):
            assert ((ROOT / path).parent / link).exists(), f"{path}: {link}"
