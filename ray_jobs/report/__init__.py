"""The verb `report`: runs and searches as self-contained HTML files."""
