"""What runs, and when: recipe, graph, plan, runner. The public Python API is what stands here."""
