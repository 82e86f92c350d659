"""What a run is told in: words, pictures, and files for other tools."""
