#!/usr/bin/env python3
"""Breaks one line of the product at a time and has the simulation find it.

    tests/mutations/run.py            each mutation of mutations.toml, and the sources as they are
    tests/mutations/run.py NAME...    some of them
    tests/mutations/run.py --check    only that each still stands exactly once in its file

The sources are copied to target/mutations/, never touched. A mutation that the simulation does not
find within its seeds has survived, and the run fails; so does a simulation that finds fault with the
sources as they are. Needs Python 3.11 and nothing else.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutations"
TREE, BUILD = WORK / "tree", WORK / "build"


def mutations():
    with open(ROOT / "tests/mutations/mutations.toml", "rb") as listed:
        return tomllib.load(listed)["mutation"]


def misplaced(listed):
    """What is wrong with the list itself."""
    faults, names = [], set()
    for mutation in listed:
        name, file = mutation["name"], mutation["file"]
        if name in names:
            faults.append(f"{name}: stands twice in the list")
        names.add(name)
        path = ROOT / file
        found = path.read_text().count(mutation["find"]) if path.exists() else 0
        if found != 1:
            faults.append(f"{name}: its line stands {found} times in {file}, not once")
    return faults


def copy_sources():
    """Copies what git tracks; files that have not changed keep their times, and so their builds."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    wanted = {Path(name) for name in tracked.split("\0") if name and (ROOT / name).is_file()}
    if TREE.exists():
        for path in [path for path in TREE.rglob("*") if path.is_file()]:
            if path.relative_to(TREE) not in wanted:
                path.unlink()
    for name in wanted:
        write_if_different(TREE / name, (ROOT / name).read_bytes())


def write_if_different(path, content):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def simulate(log, seeds):
    """Builds and runs the simulation on the copy: its exit code, or None if it did not build."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "RUSTFLAGS": "-Awarnings"}
    cargo = ["cargo", "--quiet"]
    build = ["build", "--locked", "--profile", "simulation", "-p", "simulation"]
    run = ["run", "--locked", "--profile", "simulation", "-p", "simulation", "--", "--seeds", str(seeds), "--until-failure", "--no-shrink"]
    with open(log, "w") as out:
        here = {"cwd": TREE, "env": environment, "stdout": out, "stderr": subprocess.STDOUT}
        if subprocess.run(cargo + build, **here).returncode != 0:
            return None
        return subprocess.run(cargo + run, **here).returncode


def first_finding(log):
    """The sentence in which the simulation says what broke."""
    for line in Path(log).read_text(errors="replace").splitlines():
        if re.search(r"\bG[1-8]\b", line):
            return line.strip()[:160]
    return "(no guarantee is named in the log)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only check the list against the sources")
    parser.add_argument("--seeds", type=int, default=400, help="how many seeds a mutation may survive (400)")
    arguments = parser.parse_args()

    listed = mutations()
    faults = misplaced(listed)
    unknown = set(arguments.names) - {mutation["name"] for mutation in listed}
    faults += [f"{name}: no such mutation" for name in sorted(unknown)]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 2
    if arguments.check:
        print(f"{len(listed)} mutations, each stands once in its file")
        return 0
    chosen = [m for m in listed if not arguments.names or m["name"] in arguments.names]

    WORK.mkdir(parents=True, exist_ok=True)
    copy_sources()
    log = WORK / "unchanged.log"
    print("the sources as they are … ", end="", flush=True)
    if simulate(log, 50) != 0:
        print(f"the simulation fails without any mutation: {log}")
        return 2
    print("no fault found")

    survived = []
    for mutation in chosen:
        name, log, begun = mutation["name"], WORK / f"{mutation['name']}.log", time.monotonic()
        path = TREE / mutation["file"]
        source = path.read_text()
        print(f"{name} … ", end="", flush=True)
        try:
            path.write_text(source.replace(mutation["find"], mutation["replace"]))
            code = simulate(log, arguments.seeds)
        finally:
            path.write_text(source)
        took = f"{time.monotonic() - begun:.0f} s"
        if code == 1:
            print(f"found ({took})\n    guards {mutation['guards']}\n    {first_finding(log)}")
        else:
            verdict = {0: "SURVIVED", None: "does not compile"}.get(code, f"broke the simulation itself ({code})")
            print(f"{verdict} ({took}): {log}")
            survived.append(name)
    print(f"\n{len(chosen) - len(survived)} of {len(chosen)} mutations found")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
