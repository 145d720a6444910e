"""Pictures: grids, clips and charts as pixels and files."""
