"""Every format on disk: who writes it, who reads it, and how damage to it is found.

Each format has a file of its own, whose `check` returns findings (`findings.Finding`): what is
wrong, and how it is mended without loss. `files` writes to disk, and `formats` has versions and
checksums.
"""
