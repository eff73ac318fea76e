"""The image: what its build needs, what it says of itself, and what is linked into the program."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys

import pytest
from server import BINARY, ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def copied():
    """-> the files and folders of the repository that the Dockerfile copies."""
    lines = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return sorted({name for names in lines for name in names})


def test_the_build_needs_no_test_and_gets_all_that_it_names():
    """Changing a test changes no layer, since none is copied."""
    assert not [name for name in copied() if name.startswith(("Tests", "Benchmarks", "docs", "clients"))]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(allowed) == copied()
    assert all((ROOT / name).exists() for name in copied())


@pytest.mark.skipif(not shutil.which("swift"), reason="swift is not installed")
def test_the_manifest_is_valid_with_nothing_but_what_is_copied(folder):
    for name in copied():
        source, place = ROOT / name, folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, place) if source.is_dir() else shutil.copyfile(source, place)
    described = subprocess.run(["swift", "package", "dump-package"], cwd=folder, capture_output=True, text=True, timeout=120,
                               env={**os.environ, "PACKAGE_SOURCES_ONLY": "1"})
    assert described.returncode == 0, described.stderr
    manifest = json.loads(described.stdout)
    for target in manifest["targets"]:
        assert target["type"] != "test" and (folder / "Sources" / target["name"]).is_dir(), target["name"]
    assert "yams" not in described.stdout.lower()


@pytest.mark.skipif(not shutil.which("swift"), reason="swift is not installed")
def test_the_manifest_follows_the_architecture_that_is_built_for():
    targets = {}
    for architecture in ("x86_64", "arm64"):
        described = subprocess.run(["swift", "package", "dump-package"], cwd=ROOT, capture_output=True, text=True, timeout=120,
                                   env={**os.environ, "PACKAGE_ARCHITECTURE": architecture})
        targets[architecture] = {one["name"] for one in json.loads(described.stdout)["targets"]}
    assert targets["x86_64"] - targets["arm64"] == {"CProcessor", "KernelsV3", "KernelsV4"}


def test_nothing_of_foundation_but_its_essentials_is_linked():
    """Foundation itself would bring 38 MB of ICU with it."""
    names = subprocess.run(["nm", "--defined-only", "-D", BINARY], capture_output=True, text=True).stdout
    names += subprocess.run(["nm", "-D", "--undefined-only", BINARY], capture_output=True, text=True).stdout
    needed = subprocess.run(["readelf", "-d", BINARY], capture_output=True, text=True).stdout
    libraries = re.findall(r"NEEDED.*\[(.*)\]", needed)
    assert libraries and not [name for name in libraries if re.match(r"lib(Foundation\.so|.*Internationalization|.*ICU|icu)", name)], libraries
    assert "icudt" not in names and "ucol_open" not in names


@pytest.mark.parametrize("program, words", [("docker", ""), ("podman", "--format docker"), ("buildah", "--format docker")])
def test_the_engines_are_called_with_version_revision_and_a_format_that_has_healthchecks(folder, program, words):
    """With a program in the place of the engine, which says what it was called with."""
    fake = folder / program
    fake.write_text('#!/bin/sh\nif [ "$1" = info ]; then exit 0; fi\necho "$DOCKER_BUILDKIT:$@"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    said = subprocess.run([ROOT / "tools" / "image.sh", "crop:x", "--build-arg", "A=b"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ENGINE": program}).stdout
    version = re.search(r'current = "(.*)"', (ROOT / "Sources/PruningService/Version.swift").read_text()).group(1)
    assert f"build --tag crop:x --build-arg VERSION={version} --build-arg REVISION=" in said and words in said
    assert said.rstrip().endswith("--build-arg A=b .") and said.startswith("1:" if program == "docker" else ":")


def test_an_engine_that_does_not_work_is_passed_over(folder):
    """A docker client without its daemon, as on many build machines."""
    for name, text in (("docker", "exit 1"), ("podman", 'echo podman "$@"')):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run([ROOT / "tools" / "image.sh", "crop:x"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{folder}:/usr/bin:/bin"})
    assert done.stdout.startswith("podman build --tag crop:x"), done.stderr


def test_the_labels_are_those_of_the_open_container_initiative():
    labels = set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", DOCKERFILE))
    assert {"title", "description", "licenses", "version", "revision", "source", "base.name"} <= labels
    for name in ("libssl3", "libstdc++6", "zlib1g"):
        assert re.search(rf"apt-get install .*{re.escape(name)}", DOCKERFILE), name


@pytest.mark.skipif(not (ROOT / ".build" / "workspace-state.json").exists(), reason="nothing was built here")
def test_licences_and_the_list_of_what_is_linked_are_complete(folder):
    (folder / "dpkg").mkdir()
    (folder / "dpkg" / "status").write_text(
        "Package: libssl3\nStatus: install ok installed\nVersion: 3.0.17\nDescription: of\n Package: nothing\n\n"
        "Package: zlib1g\nVersion: 1:1.2.13\nStatus: install ok installed\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n")
    subprocess.run([sys.executable, ROOT / "tools" / "licences.py", "--build", ROOT / ".build", "--out", folder, "--dpkg", folder / "dpkg"],
                   check=True, timeout=120)
    listed = json.loads((folder / "sbom.spdx.json").read_text())
    packages = {one["name"]: one for one in listed["packages"]}
    assert listed["spdxVersion"] == "SPDX-2.3" and packages["crop"]["licenseDeclared"] == "Apache-2.0"
    assert {"swift", "swift-argument-parser", "swift-configuration", "swift-log"} <= packages.keys()
    debian = {name: one["versionInfo"] for name, one in packages.items() if name.startswith("debian/")}
    assert debian == {"debian/libssl3": "3.0.17", "debian/zlib1g": "1:1.2.13"}
    manifest = (ROOT / "Package.swift").read_text()
    for name in ("swift-argument-parser", "swift-configuration", "swift-log"):
        assert f'/{name}", exact: "{packages[name]["versionInfo"]}"' in manifest
        assert packages[name]["licenseDeclared"] == "Apache-2.0" and "Apache License" in (folder / "licences" / f"{name}.txt").read_text()
    identifiers = {one["SPDXID"] for one in listed["packages"]} | {"SPDXRef-DOCUMENT"}
    assert len(identifiers) == len(packages) + 1
    for relation in listed["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= identifiers
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text() and (folder / "licences" / "swift.txt").exists()
