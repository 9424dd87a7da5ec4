"""What is measured of each kind of head whose answers are neither one class nor one number: a file a kind.

`tasks.evaluation.scorer.Scorer` says what each can do, `tasks.evaluation.measures.MEASURED` names them.
"""
