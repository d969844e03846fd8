"""`interlock migrate run --partitions N` on real servers."""
