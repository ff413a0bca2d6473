"""Seconds per view of the generator: as trained, folded, in batches and in bfloat16; of its labels.

Random weights; their values do not change the speed. Processor time with one thread does not depend
on what else the machine does, wall-clock time with all of them is what a user waits for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from opendr_facerot.generate.inference import InferenceGenerator, generate_views
from opendr_facerot.generate.landmark_labels import label_from_heat_maps, line_heat_maps
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ngf", type=int, default=64, help="channels of the first layer")
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="threads of the processor")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{arguments.threads} threads, device {arguments.device}, ngf {arguments.ngf}"
    )

    random = np.random.default_rng(0)
    landmarks = random.uniform(0.2, 0.8, (68, 2)) * arguments.size
    report("label", 1, lambda: label_of(landmarks, arguments.size), 20 * arguments.repeats)

    generator = settled_generator(GeneratorOptions(ngf=arguments.ngf)).to(arguments.device)
    start = time.perf_counter()
    folded = InferenceGenerator(generator)
    print(f"folding, once: {time.perf_counter() - start:.2f} s")
    largest = 4
    shape = (largest, 3, arguments.size, arguments.size)
    rotated: NDArray[np.float32] = random.uniform(-1, 1, shape).astype(np.float32)
    labels = np.stack([label_of(landmarks, arguments.size)] * largest)
    exact = generate_views(generator, rotated, labels)
    for name in ("as trained", "folded", "folded, bfloat16"):
        network = generator if name == "as trained" else folded
        if name == "folded, bfloat16":
            network = network.to(torch.bfloat16)
        difference = np.abs(generate_views(network, rotated, labels) - exact).max()
        print(f"{name}: largest difference {difference:.2g} of outputs in [-1, 1]")
        for count in (1, largest):
            report(
                name,
                count,
                partial(generate_views, network, rotated[:count], labels[:count], batch_size=count),
                arguments.repeats,
            )


def settled_generator(options: GeneratorOptions) -> RotateSpadeGenerator:
    """A generator with random weights whose normalisations fit them, so that outputs are finite."""
    torch.manual_seed(0)
    generator = RotateSpadeGenerator(options).train()
    with torch.no_grad():
        for _ in range(3):
            generator(torch.rand(2, 3, 64, 64) * 2.0 - 1.0, torch.rand(2, 5, 64, 64).round())
    return generator.eval()


def label_of(landmarks: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """The label of these landmarks at the published model's settings."""
    return label_from_heat_maps(line_heat_maps(landmarks, size, 2.5))


def report(name: str, views: int, run: Callable[[], object], repeats: int) -> None:
    """Print the least time of a call; the others were disturbed."""
    run()
    wall, processor = [], []
    for _ in range(repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    print(
        f"{name}, batch of {views}: {min(wall) / views:.4f} s per view, "
        f"{min(processor) / views:.4f} s of processor time"
    )


if __name__ == "__main__":
    main()
