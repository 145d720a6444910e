"""Scores of the answers, with intervals and subgroups; the decision rule, which is learnt for a score."""
