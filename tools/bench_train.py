"""Training throughput of PyTorch (eager) and of this project, measured alternately on the same machine in the same run.

One stage of four steps (kernels 3x3 and 1x1 in turn), forward, backward and Adam. The PyTorch step does what FrEIA's
AllInOneBlock does with the published settings, with the permutation as an index.

    cargo bench --bench train --no-run
    python tools/bench_train.py target/release/deps/train-<hash> [--rounds 5] [--seconds 4] [--batch 8] [--json]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import time

import torch
from torch import nn

SHAPES = [(84, 64, 64), (816, 28, 28)]


class Step(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.passive, self.active = channels - channels // 2, channels // 2
        self.first = nn.Conv2d(self.passive, self.passive, kernel, padding=kernel // 2)
        self.second = nn.Conv2d(self.passive, 2 * self.active, kernel, padding=kernel // 2)
        nn.init.uniform_(self.second.weight, -0.01, 0.01)
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), 2 * math.log(math.exp(5) - 1)))
        self.offset = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("permutation", torch.randperm(channels))

    def forward(self, x):
        x1, x2 = x.split([self.passive, self.active], 1)
        a = 0.1 * self.second(torch.relu(self.first(x1)))
        log_scale = 2 * torch.tanh(a[:, : self.active])
        x2 = x2 * torch.exp(log_scale) + a[:, self.active :]
        scale = 0.1 * nn.functional.softplus(self.scale, beta=0.5)
        y = (torch.cat([x1, x2], 1) * scale + self.offset)[:, self.permutation]
        pixels = x.shape[2] * x.shape[3]
        return y, log_scale.sum((1, 2, 3)) + pixels * torch.log(scale).sum()


class Torch:
    def __init__(self, shape, batch):
        self.steps = nn.ModuleList([Step(shape[0], [3, 1][i % 2]) for i in range(4)])
        self.optimiser = torch.optim.Adam(self.steps.parameters(), lr=1e-3, weight_decay=1e-5)
        self.images = torch.rand(batch, *shape) * 3.4 - 1.7

    def step(self):
        begun = time.perf_counter()
        self.optimiser.zero_grad()
        z, log_det = self.images, 0
        for step in self.steps:
            z, jacobian = step(z)
            log_det = log_det + jacobian
        loss = (0.5 * (z**2).sum((1, 2, 3)) - log_det).mean()
        loss.backward()
        self.optimiser.step()
        return (time.perf_counter() - begun) / len(self.images) * 1e3

    def run(self, seconds):
        self.step(), self.step()
        begun, cpu, times = time.perf_counter(), time.process_time(), []
        while len(times) < 3 or time.perf_counter() - begun < seconds:
            times.append(self.step())
        cpu = (time.process_time() - cpu) / (len(times) * len(self.images)) * 1e3
        return {"least_ms": min(times), "median_ms": statistics.median(times), "cpu_ms": cpu}


def ours(binary, shape, arguments):
    command = [binary, "--json", "--only", str(shape[0]), "--batch", str(arguments.batch)]
    command += ["--threads", str(arguments.threads), "--seconds", str(arguments.seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if not arguments.json:
        print(f"PyTorch {torch.__version__} eager, {arguments.threads} threads, batch {arguments.batch}; ms per image")
        print(f"{'shape':>12} {'PyTorch':>9} {'U-Flow':>9} {'speed':>7} {'by least':>9} {'by CPU time':>12}")
    for shape in SHAPES:
        reference = Torch(shape, arguments.batch)
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append((reference.run(arguments.seconds), ours(arguments.binary, shape, arguments)))
        median = [statistics.median(round[side]["median_ms"] for round in rounds) for side in (0, 1)]
        least = [min(round[side]["least_ms"] for round in rounds) for side in (0, 1)]
        speed = statistics.median(theirs["median_ms"] / own["median_ms"] for theirs, own in rounds)
        cpu = statistics.median(theirs["cpu_ms"] / own["cpu_ms"] for theirs, own in rounds)
        name = "x".join(map(str, shape))
        if arguments.json:
            result = dict(shape=name, pytorch_ms=median[0], uflow_ms=median[1], speed=speed)
            print(json.dumps(result | dict(speed_by_least=least[0] / least[1], speed_by_cpu_time=cpu)))
        else:
            print(f"{name:>12} {median[0]:9.2f} {median[1]:9.2f} {speed:7.3f} {least[0] / least[1]:9.3f} {cpu:12.3f}")


if __name__ == "__main__":
    main()
