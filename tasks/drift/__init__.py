"""Drift: do new data look like those a model was trained on, medium by medium. torch is imported in `embeddings` alone."""
