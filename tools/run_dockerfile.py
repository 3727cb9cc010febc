#!/usr/bin/env python3
"""Runs the steps of one stage of a Dockerfile in a folder that holds a root file system, without a container engine.

    tools/run_dockerfile.py DOCKERFILE STAGE ROOT [--from STAGE=FOLDER …]      prints the image's settings as JSON; needs root

The stage's base is not fetched: ROOT must hold it (tools/check_deploy.sh makes it with debootstrap). RUN runs in a chroot with `sh -c`,
COPY --from=STAGE copies from the folder that stands for this stage. Instructions and options that are not known here are an error.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys


def instructions(text):
    """Yields each instruction and its argument, with continued lines joined."""
    line = ""
    for raw in text.splitlines():
        if raw.lstrip().startswith("#") or not (raw.strip() or line):
            continue
        line += raw.rstrip().removesuffix("\\")
        if not raw.rstrip().endswith("\\"):
            name, _, argument = line.strip().partition(" ")
            yield name.upper(), argument.strip()
            line = ""


def of_stage(text, stage):
    """The instructions of one stage, without its FROM."""
    inside, found = False, []
    for name, argument in instructions(text):
        if name == "FROM":
            words = argument.split()
            inside = len(words) == 3 and words[1].upper() == "AS" and words[2] == stage
            found += [("FROM", words[0])] if inside else []
        elif inside:
            found.append((name, argument))
    if not found:
        sys.exit(f"{sys.argv[0]}: the Dockerfile has no stage `{stage}`")
    return found


class Image:
    """A root file system and the settings that the instructions make."""

    def __init__(self, root, sources):
        self.root, self.sources = pathlib.Path(root).resolve(), sources
        self.settings = {"env": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "user": "0", "workdir": "/", "ports": []}

    def run(self, name, argument):
        """Carries out one instruction."""
        step = getattr(self, f"do_{name.lower()}", None)
        if step is None:
            sys.exit(f"{sys.argv[0]}: the instruction {name} is not known here")
        print(f"{name} {argument}", file=sys.stderr)
        step(argument)

    def do_from(self, argument):
        self.settings["base"] = argument

    def do_run(self, argument):
        if argument.startswith("--"):
            sys.exit(f"{sys.argv[0]}: options of RUN are not known here: {argument}")
        command = ["chroot", self.root, "/bin/sh", "-c", argument]
        subprocess.run(command, check=True, env=self.settings["env"], stdout=sys.stderr)

    def do_copy(self, argument):
        option, source, target = argument.split()
        stage = option.removeprefix("--from=")
        if stage not in self.sources:
            sys.exit(f"{sys.argv[0]}: give --from {stage}=FOLDER for: COPY {argument}")
        shutil.copytree(f"{self.sources[stage]}{source}", f"{self.root}{target}", symlinks=True, dirs_exist_ok=True)

    def do_env(self, argument):
        self.settings["env"].update(pair.split("=", 1) for pair in shlex.split(argument))

    def do_user(self, argument):
        self.settings["user"] = argument

    def do_workdir(self, argument):
        self.settings["workdir"] = argument

    def do_expose(self, argument):
        self.settings["ports"] = [int(port) for port in argument.split()]

    def do_entrypoint(self, argument):
        self.settings["entrypoint"] = json.loads(argument)

    def do_cmd(self, argument):
        self.settings["cmd"] = json.loads(argument)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dockerfile")
    parser.add_argument("stage")
    parser.add_argument("root")
    parser.add_argument("--from", dest="sources", action="append", default=[], metavar="STAGE=FOLDER")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: chroot needs root")
    image = Image(options.root, dict(pair.split("=", 1) for pair in options.sources))
    for name, argument in of_stage(pathlib.Path(options.dockerfile).read_text(encoding="utf-8"), options.stage):
        image.run(name, argument)
    print(json.dumps(image.settings))


if __name__ == "__main__":
    main()
