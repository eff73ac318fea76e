#!/usr/bin/env python3
"""Collects the licence texts of everything that is linked into the program, and a list of it in SPDX 2.3:

    tools/licences.py --build .build --out FOLDER [--dpkg FOLDER]

FOLDER gets `LICENSE`, `NOTICE`, `licences/NAME.txt` of each Swift package and of Swift's runtime, and `sbom.spdx.json`. --dpkg
adds the Debian packages of an image: those that the files of FOLDER, such as /var/lib/dpkg/status, call installed. Needs nothing
but Python 3.
"""
import argparse
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES = ("LICENSE.txt", "LICENSE", "LICENSE.md", "COPYING")


def packages(build):
    """-> (name, version, address, checkout) of each Swift package that was resolved."""
    state = json.loads((build / "workspace-state.json").read_text())["object"]
    for one in sorted(state["dependencies"], key=lambda one: one["packageRef"]["identity"]):
        version = one["state"]["checkoutState"].get("version") or one["state"]["checkoutState"]["revision"]
        yield one["packageRef"]["identity"], version, one["packageRef"]["location"], build / "checkouts" / one["subpath"]


def linked(build, manifest):
    """-> those packages that the program's targets depend on, directly or not; the rest is for tests."""
    described = json.loads(manifest)
    wanted, queue, targets = set(), ["crop"], {one["name"]: one for one in described["targets"]}
    while queue:
        for kind in targets[queue.pop()]["dependencies"]:
            if "product" in kind:
                wanted.add(kind["product"][1].lower())
            elif "byName" in kind and kind["byName"][0] in targets:
                queue.append(kind["byName"][0])
    found = {name: (name, *rest) for name, *rest in packages(build)}
    reached, queue = set(), [name for name in wanted if name in found]
    while queue:
        name = queue.pop()
        if name in reached:
            continue
        reached.add(name)
        text = (found[name][3] / "Package.swift").read_text()
        queue += [other for other in found if re.search(rf"/{re.escape(other)}(\.git)?\"", text)]
    return [found[name] for name in sorted(reached)]


def licence_text(folder):
    for name in NAMES:
        if (folder / name).exists():
            return (folder / name).read_text()
    raise SystemExit(f"licences: {folder} has none of {', '.join(NAMES)}")


def identifier(text):
    """-> the SPDX identifier of a text by its title; NOASSERTION when it is none of the usual ones."""
    for words, name in ((r"Apache License\s+Version 2\.0", "Apache-2.0"), (r"MIT License|Permission is hereby granted, free of charge", "MIT")):
        if re.search(words, text):
            return name
    return "NOASSERTION"


def swift():
    """-> (version, licence text) of the toolchain, whose runtime and FoundationEssentials are linked in."""
    root = pathlib.Path(shutil.which("swift")).resolve().parents[1]
    version = re.search(r"Swift version (\S+)", subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout).group(1)
    return version, (root / "share" / "swift" / "LICENSE.txt").read_text()


def entry(name, version, address, licence, purpose="LIBRARY"):
    return {"SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
            "downloadLocation": address, "filesAnalyzed": False, "licenseConcluded": licence, "licenseDeclared": licence,
            "copyrightText": "NOASSERTION", "primaryPackagePurpose": purpose}


def document(version, entries):
    """-> an SPDX document that says that crop contains the rest. The same contents give the same document."""
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    crop = entries[0]["SPDXID"]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", crop)]
    relations += [(crop, "DYNAMIC_LINK" if one["name"].startswith("debian/") else "STATIC_LINK", one["SPDXID"]) for one in entries[1:]]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"crop-{version}",
            "documentNamespace": f"https://spdx.org/spdxdocs/crop-{version}-{digest[:32]}",
            "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: tools/licences.py"]},
            "packages": entries,
            "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in relations]}


def installed(folder):
    """-> (name, version) of each installed package, from files in the format of dpkg's database."""
    for path in sorted(folder.iterdir()):
        for paragraph in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", paragraph, re.MULTILINE))
            if fields.get("Status", "").endswith(" installed"):
                yield fields["Package"], fields["Version"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--build", type=pathlib.Path, required=True)
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    arguments.add_argument("--dpkg", type=pathlib.Path)
    given = arguments.parse_args()
    manifest = subprocess.run(["swift", "package", "dump-package"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    version = re.search(r'current = "([^"]+)"', "".join(
        path.read_text() for path in (ROOT / "Sources").rglob("Version.swift"))).group(1)
    folder = given.out / "licences"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, given.out / name)
    entries = [entry("crop", version, "NOASSERTION", "Apache-2.0", "APPLICATION")]
    for name, release, address, checkout in linked(given.build, manifest):
        text = licence_text(checkout)
        (folder / f"{name}.txt").write_text(text)
        entries.append(entry(name, release, f"git+{address}@{release}", identifier(text)))
    release, text = swift()
    (folder / "swift.txt").write_text(text)
    entries.append(entry("swift", release, "https://www.swift.org", identifier(text)))
    for name, release in sorted(installed(given.dpkg)) if given.dpkg else ():
        # Its texts are in /usr/share/doc/NAME/copyright of the image.
        entries.append(entry(f"debian/{name}", release, "NOASSERTION", "NOASSERTION", "OPERATING-SYSTEM"))
    (given.out / "sbom.spdx.json").write_text(json.dumps(document(version, entries), indent=1) + "\n")


if __name__ == "__main__":
    main()
