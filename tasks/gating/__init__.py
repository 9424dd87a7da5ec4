"""Whether a candidate is good enough: the rules, the tests behind them, and the judgement."""
