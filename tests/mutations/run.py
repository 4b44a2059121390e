#!/usr/bin/env python3
"""Breaks one line of the product at a time and has the simulation find it.

    tests/mutations/run.py            each mutation of mutations.toml, and the sources as they are
    tests/mutations/run.py NAME...    some of them
    tests/mutations/run.py --check    only that each still stands exactly once in its file

The sources are copied to target/mutations/, never touched. The copy has every mutation in it, each
behind a switch, so it is built once, on the dependencies as the tests have them compiled; then it runs
with one switch at a time, and with none, until a world fails. A mutation that the simulation does not find
within its seeds has survived, and the run fails; so does a simulation that finds fault with the sources as
they are. Needs Python 3.11 and nothing else.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
WORK = TARGET / "mutations"
TREE, SIMULATION = WORK / "tree", WORK / "simulation"
# Names the mutation that is switched on.
SWITCH = "SIMULATED_MUTATION"
# A mutation that the simulation neither finds nor survives in so many seconds.
LONGEST = 3600


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


def copy_sources(listed):
    """Copies what git tracks, with the mutations; files that have not changed keep their times, and so
    their builds."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    wanted = {Path(name) for name in tracked.split("\0") if name and (ROOT / name).is_file()}
    if TREE.exists():
        for path in [path for path in TREE.rglob("*") if path.is_file()]:
            if path.relative_to(TREE) not in wanted:
                path.unlink()
    for name in wanted:
        mutated = [mutation for mutation in listed if Path(mutation["file"]) == name]
        write_if_different(TREE / name, with_switches((ROOT / name).read_bytes(), mutated))


def with_switches(source, mutated):
    """The source with both versions of each place, of which a run takes one."""
    for mutation in mutated:
        find, replace = mutation["find"], mutation["replace"]
        on = f'std::env::var_os("{SWITCH}").is_some_and(|name| name == "{mutation["name"]}")'
        both = f"if {on} {{ {replace} }} else {{ {find} }}"
        # A statement stands as it is; an expression may have more to its left and right.
        both = both if find.endswith(";") else f"({both})"
        source = source.replace(find.encode(), both.encode())
    return source


def write_if_different(path, content):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def build(log):
    """Builds the copy and puts its simulation aside; whether that went well."""
    # With the features of every test, so that no dependency is compiled for this alone.
    command = ["cargo", "build", "--workspace", "--all-features", "--locked", "--bin", "simulation"]
    command += ["--message-format=json-render-diagnostics"]
    # Our own crates a little optimised: worlds take half the time.
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET), "CARGO_PROFILE_DEV_OPT_LEVEL": "1"}
    with open(log, "w") as errors:
        built = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, stderr=errors)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    programs = [message["executable"] for message in messages if message.get("executable")]
    if built.returncode != 0 or not programs:
        return False
    shutil.copy2(programs[-1], SIMULATION)
    return True


def simulate(log, seeds, mutation=None):
    """Runs the simulation with a mutation switched on, or none: its exit code, or None if it hangs."""
    command = [SIMULATION, "--seeds", str(seeds), "--until-failure", "--no-shrink"]
    environment = os.environ | {SWITCH: mutation or ""}
    with open(log, "w") as out:
        try:
            return subprocess.run(
                command, cwd=TREE, env=environment, stdout=out, stderr=subprocess.STDOUT, timeout=LONGEST
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def first_finding(log):
    """The seed that failed first, and the guarantee that it says is broken."""
    text = Path(log).read_text(errors="replace")
    found = re.search(r"^seed (\d+) FAILED\n +(\w+): (.*)", text, re.MULTILINE)
    return f"seed {found[1]}: {found[2]}: {found[3][:120]}" if found else "(no guarantee is named in the log)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only check the list against the sources")
    parser.add_argument("--seeds", type=int, default=400, help="how many seeds a mutation may survive (400)")
    parser.add_argument("--unchanged", type=int, default=50, help="how many seeds the sources as they are run (50)")
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
    by_name = {mutation["name"]: mutation for mutation in listed}
    chosen = [by_name[name] for name in arguments.names or by_name]

    WORK.mkdir(parents=True, exist_ok=True)
    copy_sources(listed)
    log = WORK / "build.log"
    if not build(log):
        print(f"the sources with the mutations do not compile: {log}", file=sys.stderr)
        return 2
    log = WORK / "unchanged.log"
    print("the sources as they are … ", end="", flush=True)
    if simulate(log, arguments.unchanged) != 0:
        print(f"the simulation fails without any mutation: {log}")
        return 2
    print("no fault found")

    survived = []
    for mutation in chosen:
        name, log, begun = mutation["name"], WORK / f"{mutation['name']}.log", time.monotonic()
        print(f"{name} … ", end="", flush=True)
        code = simulate(log, arguments.seeds, name)
        took = f"{time.monotonic() - begun:.0f} s"
        if code == 1:
            print(f"found ({took})\n    guards {mutation['guards']}\n    {first_finding(log)}")
        else:
            verdict = {0: "SURVIVED", None: "hangs"}.get(code, f"broke the simulation itself ({code})")
            print(f"{verdict} ({took}): {log}")
            survived.append(name)
    print(f"\n{len(chosen) - len(survived)} of {len(chosen)} mutations found")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
