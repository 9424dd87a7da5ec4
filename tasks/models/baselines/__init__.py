"""Models that learn without gradients, to compare with: what a fused model has to beat."""
