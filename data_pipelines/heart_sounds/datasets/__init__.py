"""The layouts of published heart-sound data sets, and a synthetic one."""
