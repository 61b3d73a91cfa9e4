#!/usr/bin/env python3
"""Compares the LSTM's training step and its batch-1 forecast with PyTorch's.

The same network for both: one LSTM layer over 60 steps of 5 inputs, a linear head
of 90 outputs (30 steps x 3 quantiles, or 10 x 9), pinball loss, Adam with clipped
gradients, a batch of 32, one thread. Rounds alternate, so that both see the same
machine; the medians and their ratio are printed.

    apt-get install python3-torch        # Debian
    python3 predictor/lstm/testdata/compare.py [ROUNDS]

Run it at the top of the checkout.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import torch  # noqa: E402 (the threads are fixed before it is loaded)

CONTEXT, INPUTS, BATCH, HORIZON, QUANTILES = 60, 5, 32, 30, 3
LEVELS = torch.tensor([0.1, 0.5, 0.9])


class Net(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = torch.nn.LSTM(INPUTS, hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, HORIZON * QUANTILES)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1]).view(-1, HORIZON, QUANTILES)


def pinball(out, y):
    e = y.unsqueeze(-1) - out
    return torch.maximum(LEVELS * e, (LEVELS - 1) * e).mean()


def timed(work, times):
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e3


def torch_step(hidden):
    net = Net(hidden)
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)
    x, y = torch.randn(BATCH, CONTEXT, INPUTS), torch.randn(BATCH, HORIZON)

    def step():
        adam.zero_grad()
        pinball(net(x), y).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()

    return timed(step, 60)


def torch_forecast(hidden):
    net = Net(hidden).eval()
    x = torch.randn(1, CONTEXT, INPUTS)

    def forward():
        with torch.no_grad():
            net(x)

    return timed(forward, 300)


def ours(binary, bench, times):
    out = subprocess.run(
        [binary, "-test.run", "^$", "-test.bench", bench, "-test.benchtime", f"{times}x"],
        capture_output=True, text=True, check=True, env={**os.environ, "GOMAXPROCS": "1"}, cwd="predictor/lstm").stdout
    found = re.search(r"\s([\d.]+) ns/op", out)
    if not found:
        sys.exit(f"no such benchmark: {bench}\n{out}")
    return float(found.group(1)) / 1e6


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "lstm.test")
        subprocess.run(["go", "test", "-c", "-o", binary, "./predictor/lstm"], check=True)
        print(f"PyTorch {torch.__version__}, one thread each; medians of {rounds} alternating rounds, in ms")
        for what, theirs, bench, times in (
            ("training step", torch_step, "^BenchmarkTrainingStep$/^reference$/^hidden={0}$/^avx2$", 200),
            ("forecast, a batch of 1 (ours with its features, scaling and quantiles)", torch_forecast, "^BenchmarkForecast$/^hidden={0}$", 2000),
        ):
            for hidden in (32, 64):
                a, b = [], []
                for _ in range(rounds):
                    a.append(theirs(hidden))
                    b.append(ours(binary, bench.format(hidden), times))
                them, us = statistics.median(a), statistics.median(b)
                print(f"{what}, hidden {hidden}: PyTorch {them:.3f}, ours {us:.3f}, ratio {us / them:.3f}")


if __name__ == "__main__":
    main()
