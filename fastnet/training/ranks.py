"""The exchanges of the processes that train one network together."""


class Ranks:
    """The exchanges of one fit."""
