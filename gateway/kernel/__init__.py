"""Kernel: the words every room shares (money, clock, ids, errors); it imports nothing of ours."""
