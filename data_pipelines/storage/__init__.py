"""Folders on any storage, and checksums of their files; the lowest layer of all packages."""
