"""`interlock migrate` on real servers."""
