"""Probes: what a frozen model's features say of a label, by models of scikit-learn."""
