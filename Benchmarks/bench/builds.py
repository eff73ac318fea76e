"""Builds what a comparison needs. Each function returns what was built, or raises `Unavailable` with the reason."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from .places import BENCHMARKS, BUILD, PEERS, ROOT, Unavailable


def run(command, limit, **options):
    """Runs to the end, quietly; the end of the output is the reason when it fails."""
    try:
        result = subprocess.run(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit,
            stdin=subprocess.DEVNULL, check=False, **options)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took more than {limit} s") from error
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if result.returncode:
        lines = [line for line in result.stdout.strip().splitlines() if line.strip()]
        raise Unavailable(f"{' '.join(map(str, command[:4]))}: {lines[-1] if lines else result.returncode}")
    return result.stdout


def c_tool(name, *flags, compiler="cc"):
    """Compiles peers/NAME.c or .cpp when it is newer than the program."""
    source = PEERS / (name + (".cpp" if compiler == "c++" else ".c"))
    program = BUILD / name
    BUILD.mkdir(exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        run([compiler, "-O3" if compiler == "c++" else "-O2", *flags[:1], "-o", program, source, *flags[1:]], 120)
    return program


def load_generator():
    return c_tool("load", "-pthread")


def echo_server():
    return c_tool("echo", "-pthread")


def peak():
    return c_tool("peak", "-march=native")


def json_readers():
    """Needs simdjson: the system's, or the two packages unpacked into the build folder."""
    if pathlib.Path("/usr/include/simdjson.h").exists():
        return c_tool("json_readers", "-std=c++17", "-lsimdjson", compiler="c++")
    folder = unpack("simdjson", ["libsimdjson-dev", "libsimdjson14"])
    library = next(iter(folder.glob("usr/lib/*/libsimdjson.so*")), None)
    if library is None:
        raise Unavailable("the package libsimdjson-dev has no library")
    return c_tool(
        "json_readers", "-std=c++17", f"-I{folder}/usr/include", f"-L{library.parent}", f"-Wl,-rpath,{library.parent}",
        "-lsimdjson", compiler="c++")


def unpack(name, packages):
    """Debian packages, unpacked into the build folder and not installed."""
    folder = BUILD / name
    if (folder / "complete").exists():
        return folder
    if not shutil.which("apt-get"):
        raise Unavailable(f"{packages[0]} is not installed, and there is no apt-get to fetch it with")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as archives:
        # apt-get drops to another user, who must be able to write there.
        os.chmod(archives, 0o777)
        try:
            run(["apt-get", "download", "-qq", *packages], 120, cwd=archives)
        except Unavailable:
            with contextlib.suppress(Unavailable):
                run(["apt-get", "update", "-qq"], 300)
            run(["apt-get", "download", "-qq", *packages], 120, cwd=archives)
        for archive in pathlib.Path(archives).glob("*.deb"):
            run(["dpkg-deb", "--extract", archive, folder], 60)
    (folder / "complete").touch()
    return folder


def nginx():
    """-> the program and the module that reads bodies."""
    module = pathlib.Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program and module.exists():
        return pathlib.Path(program), module
    folder = unpack("nginx", ["nginx", "libnginx-mod-http-echo"])
    program, module = folder / "usr/sbin/nginx", folder / "usr/lib/nginx/modules/ngx_http_echo_module.so"
    for path in (program, module):
        if not path.exists():
            raise Unavailable(f"the package has no {path.name}")
    return program, module


def swift_product(package, scratch, product, **options):
    """Builds one product of a package for release."""
    if not shutil.which("swift"):
        raise Unavailable("swift is not on the PATH")
    # Without the cache: it does not notice new files of a package that is depended on by its path.
    command = [
        "swift", "build", "-c", "release", "--package-path", package, "--scratch-path", scratch, "--product", product,
        "--disable-build-manifest-caching"]
    run(command, 1800, cwd=ROOT, **options)
    return pathlib.Path(scratch) / "release" / product


def swift_peer(product):
    return swift_product(PEERS / "swift", BUILD / "swift", product)


def debian_crates():
    """Rust crates as Debian packages them: those installed, or the packages unpacked."""
    installed = pathlib.Path("/usr/share/cargo/registry")
    if all(next(installed.glob(f"{crate}-[0-9]*"), None) for crate in ("hyper", "tokio")):
        return installed
    if not shutil.which("apt-get"):
        raise Unavailable("hyper's crates are taken from Debian's packages, and there is no apt-get to fetch them with")
    # As if nothing were installed, so that the list is whole.
    listing = run([
        "apt-get", "install", "--print-uris", "-qq", "--no-install-recommends", "-o", "Dir::State::status=/dev/null",
        "librust-hyper-dev", "librust-tokio-dev"], 60)
    packages = {line.split()[1].split("_")[0] for line in listing.splitlines() if line.startswith("'")}
    return unpack("crates", sorted(name for name in packages if name.startswith("librust-"))) / "usr/share/cargo/registry"


def hyper_peer():
    if not shutil.which("cargo"):
        raise Unavailable("cargo is not installed (apt-get install cargo)")
    crates, package = debian_crates(), BUILD / "hyper"
    # Built elsewhere, since cargo writes beside its sources.
    shutil.copytree(PEERS / "hyper", package, dirs_exist_ok=True)
    command = ["cargo", "build", "--release", "--offline", "--quiet"]
    for setting in ('source.crates-io.replace-with="debian"', f'source.debian.directory="{crates}"'):
        command += ["--config", setting]
    run(command, 900, cwd=package, env={**os.environ, "RUSTFLAGS": "-C target-cpu=native"})
    return package / "target/release/hyper-peer"


def measure():
    # Without the suites: a package that they depend on has a target with the name of one of ours.
    return swift_product(BENCHMARKS, ROOT / ".build-bench", "measure", env={**os.environ, "MEASURE_ONLY": "1"})


def python_peers(python):
    """The packages of the Python servers, into the environment that runs this."""
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PEERS / "requirements.txt"], 900)
    return python


def torch_python(named):
    """-> an interpreter that has torch, numpy and safetensors: the one named, else one made for it in the build folder."""
    if named:
        return named
    folder = BUILD / "torch"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        run([sys.executable, "-m", "venv", "--clear", folder], 120)
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "torch", "numpy", "safetensors"], 3600)
        (folder / "complete").touch()
    return python
