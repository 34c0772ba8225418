"""Every format on disk: how files are written so that nothing can tear them, and how damage to them
is noticed.

files.py writes, and makes of any error of a disk one sentence; formats.py has the checksums and the
versions.
"""
