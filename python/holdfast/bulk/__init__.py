"""Chains by the million: read from files, from Arrow, from the engines that speak it; columns out."""
