"""Providers of the masker port that ship."""
