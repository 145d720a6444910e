"""Raw files of prepared data: their counts, copies among them, and changes since."""
