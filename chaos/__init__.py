"""Chaos: the whole suite under load while its processes are killed, frozen, cut off and run out of disk; then an
independent look at what is left in databases and topics.

`python -m chaos --minutes 10 --rate 50` prints its seed; the same seed gives the same order of faults.
"""
