"""Folders on any storage, and checksums of what lies in them: the ground floor of all packages."""
