#!/usr/bin/env python3
"""Runs upstream MLIR's own lit tests with our tools in the place of its own, and compares the outcomes.

`make upstream-lit` builds the tools first; `BIN=DIR` takes those of another folder: kforge-opt, kforge-lsp and
kforge-reduce, or upstream's names, which must agree with themselves. The tests are those of the installed LLVM: its
Debian source package is fetched once into the cache directory, or `--tests` names a folder `mlir/test`.

A test is taken if it runs mlir-opt, mlir-lsp-server or mlir-reduce, and else nothing but what every test may use
(FileCheck, diff, ...), and if it passes with these tools of the installed MLIR without mlir/test/lib, which ours do not
link either: scripts/upstream-tools.cpp. It agrees if it passes with ours too.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Upstream's tool, and ours.
TOOLS = {"mlir-opt": "kforge-opt", "mlir-lsp-server": "kforge-lsp", "mlir-reduce": "kforge-reduce"}
# What a test may run beside them: lit's built-in commands, LLVM's helpers, and what every system has.
HELPERS = set("FileCheck not count split-file cat cd cmp cp diff echo env export grep head ls mkdir mv rm sed sort tail "
              "touch true false wc".split())
# CPU time of one command. The slowest test of 22.1.8 takes 9 s.
SECONDS = 120
# Of releases whose sum is known; apt checks every one against the distribution's signature.
SHA256 = {"22.1.8": "b49b9277aef97616320b2da259e1f8174c65b0ce2fbe2e8629644a97693402fe"}
SID = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"

LIT_CONFIG = """
import os
import lit.formats

config.name = "MLIR"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = lit_config.params["out"]
config.environment["PATH"] = lit_config.params["path"]
# As in upstream's lit.cfg.py.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"
config.available_features.add("noasserts")
config.available_features.add("target=" + lit_config.params["triple"])
"""


def fail(message):
    sys.exit(f"upstream-lit: {message}")


def capture(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def apt_lists(work):
    """Folders of source lists to look in: the system's own as sources, then Debian's sid."""
    own, sid = work / "own", work / "sid"
    own.mkdir()
    sid.mkdir()
    for file in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".sources":
            (own / file.name).write_text(re.sub(r"(?m)^Types:.*$", "Types: deb-src", text))
        elif file.suffix == ".list":
            (own / file.name).write_text(re.sub(r"(?m)^deb\s", "deb-src ", text))
    (sid / "sid.list").write_text(SID)
    return [own, sid]


def fetch_source(version, folder):
    """LLVM's source archive, by apt, with lists of its own: the system's are neither read nor changed."""
    if not shutil.which("apt-get"):
        fail("this system has no apt; unpack LLVM's source and name its mlir/test with --tests")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        work = Path(work)
        for parts in apt_lists(work):
            options = {
                "Dir::Etc::SourceList": "/dev/null",
                "Dir::Etc::SourceParts": parts,
                "Dir::State::Lists": parts / "lists",
                "Dir::Cache": parts / "cache",
                # The files are in a folder of this user's.
                "APT::Sandbox::User": "root",
            }
            options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
            (parts / "lists/partial").mkdir(parents=True)
            # A list that cannot be had is no reason to give up: another may have the package.
            subprocess.run(["apt-get", "-qq", *options, "update"], stderr=subprocess.DEVNULL)
            package = f"llvm-toolchain-{version.split('.')[0]}"
            known = subprocess.run(["apt-cache", *options, "showsrc", package], capture_output=True, text=True).stdout
            found = re.search(rf"(?m)^Version: ((?:\d+:)?{re.escape(version)}-\S+)$", known)
            if not found:
                continue
            print(f"upstream-lit: fetching the source of {package} {found[1]} (200 MB)", file=sys.stderr)
            # Only the archive: the files beside it may be gone from the pool before the list says so.
            source = ["source", "--tar-only", "--download-only", f"{package}={found[1]}"]
            subprocess.run(["apt-get", "-qq", *options, *source], cwd=parts, stdout=subprocess.DEVNULL)
            for archive in parts.glob("*.orig.tar.*"):
                digest = hashlib.sha256(archive.read_bytes()).hexdigest()
                if digest != SHA256.get(version, digest):
                    fail(f"{archive.name} has SHA-256 {digest}, not {SHA256[version]}; it was not kept")
                yield archive


def upstream_tests(version):
    """The folder mlir/test of a release, fetched if it is not in the cache directory."""
    cache = Path(capture(ROOT / "scripts/cache-dir.sh")) / "upstream"
    kept = cache / f"llvm-{version}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for archive in fetch_source(version, cache):
            unpacked = Path(tempfile.mkdtemp(dir=cache))
            member = ["--wildcards", "--strip-components=1", "*/mlir/test"]
            subprocess.run(["tar", "-xf", archive, "-C", unpacked, *member], check=True)
            unpacked.rename(kept)
            break
        else:
            fail(f"neither this system's package sources nor Debian's sid have LLVM {version}; name a folder with --tests")
    return kept / "mlir/test"


def run_lines(text):
    commands, continues = [], False
    for line in text.splitlines():
        found = re.search(r"RUN:\s*(.*?)\s*$", line)
        if not found:
            continue
        command = found[1].removesuffix("\\")
        if continues:
            commands[-1] += " " + command
        else:
            commands.append(command)
        continues = found[1].endswith("\\")
    return commands


def programs(command):
    """Names of the programs that a RUN line starts."""
    for part in re.split(r"\|\|?|&&?|;", re.sub(r"'[^']*'|\"[^\"]*\"|\d?>&\d", "", command)):
        words = [word for word in part.split() if not re.fullmatch(r"\w+=\S*|--crash|not|env", word)]
        if words:
            yield words[0]


def select(tests):
    for file in sorted([*tests.rglob("*.mlir"), *tests.rglob("*.test")]):
        if "Inputs" in file.parts:
            continue
        commands = run_lines(file.read_text(errors="replace"))
        started = {program for command in commands for program in programs(command)}
        if started & TOOLS.keys() and started <= TOOLS.keys() | HELPERS:
            yield file


def build_upstream(prefix, folder):
    """Builds upstream's tools without its test library: one program, by the name of each."""
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = [folder / name for name in TOOLS]
    lib = prefix / "lib"
    flags = ["-std=c++17", "-DNDEBUG", "-fno-rtti", "-fno-exceptions", "-w", f"-I{prefix / 'include'}"]
    command = [os.environ.get("CXX", "c++"), *flags, ROOT / "scripts/upstream-tools.cpp", "-o", first]
    command += [f"-L{lib}", "-lMLIR", "-lLLVM", f"-Wl,-rpath,{lib}"]
    if subprocess.run(command).returncode:
        fail(f"{command[0]} cannot build scripts/upstream-tools.cpp with {lib}'s libMLIR; run 'make setup'")
    for other in others:
        other.unlink(missing_ok=True)
        other.symlink_to(first.name)


def find_tools(folder):
    found = {}
    for upstream, ours in TOOLS.items():
        files = [file for file in (folder / ours, folder / upstream) if os.access(file, os.X_OK)]
        found[upstream] = files[0].absolute() if files else fail(f"{folder} has no {ours}; run 'make build'")
    return found


def run_lit(prefix, tools, files, out, jobs):
    """Outcome of each test, by name: lit's code and output."""
    shutil.rmtree(out, ignore_errors=True)
    bin = out / "bin"
    bin.mkdir(parents=True)
    for name, tool in tools.items():
        # A signal ends what takes too long, so that `not` does not take it for a failure.
        (bin / name).write_text(f'#!/bin/sh\nulimit -t {SECONDS}\nexec "{tool}" "$@"\n')
        (bin / name).chmod(0o755)
    (out / "tests.txt").write_text("\n".join(map(str, files)))
    path = os.pathsep.join([str(bin), str(prefix / "bin"), os.environ["PATH"]])
    command = [prefix / "bin/lit", "-q", "-j", str(jobs), "--config-prefix=kforge", "-o", out / "results.json"]
    triple = capture(prefix / "bin/llvm-config", "--host-target")
    command += ["-D", f"out={out / 'scratch'}", "-D", f"path={path}", "-D", f"triple={triple}", f"@{out / 'tests.txt'}"]
    with open(out / "log", "w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        results = json.loads((out / "results.json").read_text())["tests"]
    except (OSError, ValueError):
        fail(f"lit did not run; {out / 'log'} says why")
    return {test["name"].removeprefix("MLIR :: "): (test["code"], test["output"]) for test in results}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--bin", type=Path, default=target / "release", help="folder of the tools to try")
    parser.add_argument("--tests", type=Path, help="a folder mlir/test, instead of fetching one")
    parser.add_argument("--out", type=Path, default=target / "upstream-lit", help="folder for scratch files and logs")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("filter", nargs="?", default="", help="only tests whose path contains this")
    arguments = parser.parse_args()
    prefix = Path(capture(ROOT / "scripts/llvm-prefix.sh") or fail("there is no LLVM 22.1; run 'make setup'"))
    tools = find_tools(arguments.bin.resolve())
    tests = (arguments.tests or upstream_tests(capture(prefix / "bin/llvm-config", "--version"))).resolve()
    (tests / "kforge.cfg.py").write_text(LIT_CONFIG)

    files = [file for file in select(tests) if arguments.filter in str(file.relative_to(tests))]
    if not files:
        fail(f"{tests} has no test to run")
    out = arguments.out.resolve()
    build_upstream(prefix, out / "tools")
    print(f"upstream-lit: {len(files)} tests, with upstream's tools and with ours", file=sys.stderr)
    real = run_lit(prefix, find_tools(out / "tools"), files, out / "upstream", arguments.jobs)
    right = {name: code for name, (code, _) in real.items() if code in ("PASS", "XFAIL")}
    passing = [file for file in files if str(file.relative_to(tests)) in right]
    ours = run_lit(prefix, tools, passing, out / "ours", arguments.jobs) if passing else {}
    differing = [name for name, code in sorted(right.items()) if ours.get(name, ("not run", ""))[0] != code]
    for name in differing:
        code, output = ours.get(name, ("not run", ""))
        print(f"{name}: {code}\n" + "\n".join(f"    {line}" for line in output.splitlines()[-40:]))
    for name in differing:
        print(f"does not agree: {name}")
    print(f"{len(passing) - len(differing)} of {len(passing)} agree")
    sys.exit(bool(differing) or not passing)


if __name__ == "__main__":
    main()
