"""Calls for people to look at: a list of all of them, or the ladder of one."""
