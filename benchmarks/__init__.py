"""Every claim about speed and quality beside the command that measures it: `python -m benchmarks NAME`."""
