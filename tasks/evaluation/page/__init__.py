"""The evaluation's page: one HTML file that needs nothing but itself.

Everything on it comes from the report, the shard set, the model's curves and the lineage; see `render.py`.
"""
