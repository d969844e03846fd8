"""A whole deployment carried into new topics with another number of partitions, under other names, and proved to be the same.

Reads: the old log, with its archive in front if one is named, and the old live state. Writes: the new log, the offsets of its
group, the new live state. Nothing of the old deployment is changed. May import: processors, projections, events.
"""
