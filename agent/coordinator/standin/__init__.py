"""A small real coordinator on one SQLite file: for demos, tests and workshops, and for others to copy from.

It shares with the unit's side only the messages (`documents`) and the topics. What a coordinator must do is in
`protocol.py` and `records.py`; `broker_link.py` brings it to a broker, the rest is comfort.
"""
