"""What the API says of each thing: shapes at the edge, made from states. Pure; no I/O.

Money is a decimal string of US dollars, a time an RFC 3339 string; units come last in a name.
"""
