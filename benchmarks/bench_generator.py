"""Ways to run the generator: seconds per view, share of the machine's rate, and exactness.

    python benchmarks/bench_generator.py [--threads 2] [--repeats 20] [--compile]

Random weights at the published size. "Exact" is the share of pixels whose three colours are within
2 of 255 steps of the generator as trained. ``facerot bench`` measures the chosen way by itself;
this compares it with those that were not chosen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from opendr_facerot.benchmark.ceilings import product_rate
from opendr_facerot.benchmark.measurement import durations, measurement
from opendr_facerot.benchmark.scenarios.generator import PRODUCTS, generator_inputs, share_off
from opendr_facerot.generate.inference import InferenceGenerator, fast_generator, generate_views
from opendr_facerot.generate.rotate_spade import RotateSpadeGenerator
from opendr_facerot.weights.synthetic import synthetic_generator


def ways(trained: RotateSpadeGenerator, with_compiler: bool) -> Iterator[tuple[str, nn.Module]]:
    """Names and networks, one at a time."""
    cpu = torch.device("cpu")
    yield "as trained", trained
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        yield f"folded, {name}", InferenceGenerator(trained).in_format(dtype)
        yield f"folded and packed, {name}", fast_generator(trained, cpu, dtype)
    if with_compiler:
        folded = InferenceGenerator(trained).in_format(torch.bfloat16)
        with torch._inductor.config.patch(freezing=True):
            folded.compile()
            yield "torch.compile, bfloat16", folded


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="torch.compile, too: a minute")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    trained = synthetic_generator(0, ngf=64)
    views, labels = generator_inputs(4)
    exact = generate_views(trained, views, labels)
    print(f"{'way':28} batch   median   spread  x as trained  of bfloat16 rate   exact  first call")
    slowest: dict[int, float] = {}
    for name, network in ways(trained, options.compile):
        for batch in (1, len(views)):
            run = partial(generate_views, network, views[:batch], labels[:batch], batch_size=batch)
            start = time.perf_counter()
            result = run()
            first = time.perf_counter() - start
            seconds = [s / batch for s in durations(run, options.repeats)]
            one = measurement(name, options.threads, seconds, {})
            slowest.setdefault(batch, one.median)
            print(
                f"{name:28} {batch:5d} {1e3 * one.median:5.1f} ms {1e3 * one.spread:5.1f} ms "
                f"{slowest[batch] / one.median:13.1f} "
                f"{PRODUCTS / one.median / product_rate('bfloat16'):17.2f} "
                f"{1.0 - share_off(result, exact[:batch]):7.4f} {first:9.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
