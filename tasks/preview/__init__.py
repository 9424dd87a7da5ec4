"""The page of a shards artifact: samples one can see, hear and read, statistics, and examples of what was left out.

Imports neither ray nor torch: it is there within seconds. `page.write_preview` is where it begins.
"""
