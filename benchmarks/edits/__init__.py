"""Do replays survive edits?  Failures of mutants, replayed in trees that a patch has changed.

Each ``*.patch`` here is an edit that a maintainer could make.  `python -m benchmarks.edits` applies
each to a copy of the tree, replays there what was found before, and prints how much is found again.
"""
