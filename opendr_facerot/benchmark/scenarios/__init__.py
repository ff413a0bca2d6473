"""What is measured, a module for each part; :mod:`opendr_facerot.benchmark.worker` runs them."""
