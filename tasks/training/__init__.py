"""Training: checkpoints, the loop, and how Ray Train launches it. `config` alone imports without torch; `launch` alone imports ray."""
