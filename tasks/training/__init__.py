"""Training: checkpoints, the loop, and how Ray Train launches it. `config` imports no torch; `launch` and `rooms` alone import ray."""
