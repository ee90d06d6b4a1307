"""Providers of the rule port that ship."""
